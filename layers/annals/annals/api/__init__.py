"""What the wire holds, whoever carries it: types of fields, query strings, filters, cursors."""

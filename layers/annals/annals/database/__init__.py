"""DynamoDB: its client, the state table, the streams, items that were changed behind Annals."""

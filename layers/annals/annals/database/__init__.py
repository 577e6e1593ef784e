"""DynamoDB: its client, keys, transactions, the state table, the streams, and damaged items. It knows no other room."""

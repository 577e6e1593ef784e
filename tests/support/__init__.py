"""What tests share: tables, functions called as API Gateway calls them, conversations, faults of the network."""

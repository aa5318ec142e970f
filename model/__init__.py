"""What training and serving must do identically. No torch, no Kafka."""

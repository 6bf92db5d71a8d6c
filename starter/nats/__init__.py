"""`taskflow nats`: events that arrive by NATS JetStream become runs."""

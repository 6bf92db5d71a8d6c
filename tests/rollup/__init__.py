"""Roll-ups on a real server: what they keep, and that the report tells the same by them."""

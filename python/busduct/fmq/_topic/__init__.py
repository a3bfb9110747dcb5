"""What `Topic` is made of: publishers that register, and subscribers that follow."""

"""What a run has: its directory, the parts of finished work, and the tables made of them."""

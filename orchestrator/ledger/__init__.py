"""The run directory: its description, the parts of finished work, and the tables made of them."""

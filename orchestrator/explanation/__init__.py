"""Which parts of a polar map a network's score comes from: integrated gradients on the 17 segments."""

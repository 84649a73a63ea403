"""What is done with results once they are there: packed, rendered anew, audited, compared.

The last step: it may import all others.
"""

"""The demonstration: a whole stack on real input, measured against what it promises.

Uses Faultline as anybody would: through its topic, its HTTP interfaces and its stores.
"""

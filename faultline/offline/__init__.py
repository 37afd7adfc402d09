"""Faultline on files alone: tables in, a bundle, scores or an explanation out. No server needed.

It knows nothing of the terminal; `faultline.cli` prints what is made here.
"""

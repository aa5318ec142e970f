"""What a trained bundle must beat, on the same requests and the same items: one small file a method.

Reading order: protocol.py (what a baseline is asked and may learn from), tuning.py (how validation chooses), then
popularity, cooccurrence, neighbours, ease, factors, titles, hybrid, networks and what stands on it, sasrec and bsarec;
menu.py names them all.
"""

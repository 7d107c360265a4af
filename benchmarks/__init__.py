"""Measurements: `run.py` sets snncc beside other systems, `scaling.py` follows the cost of one network."""

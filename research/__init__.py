"""The user's desk: strategies to start from, and the command line.

from research.strategies import SmaCross
"""

"""The audit trail behind `ledger/audit.py`: how its lines are chained, proved, searched, anchored, handed on and let go."""

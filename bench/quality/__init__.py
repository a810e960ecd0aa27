"""How well vectors find what they should: `python -m bench.quality` (`make quality`)."""

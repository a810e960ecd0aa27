"""Pictures of drawings and solids, without a screen."""

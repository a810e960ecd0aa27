"""Live events at the doors: who listens to what (`hub`), and how they are told (`websocket`, `stream`)."""

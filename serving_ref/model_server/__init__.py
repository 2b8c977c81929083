"""The model server: Open Inference Protocol v2 over REST, dynamic batching by the simulator's own rule."""

"""The gRPC door: `python -m api.grpc`. Thin, as every door: policy, verbs and error codes are those of HTTP."""

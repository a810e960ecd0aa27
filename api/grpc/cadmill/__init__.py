"""What protoc looks for by its path: the packages of the protocol, one folder a version."""

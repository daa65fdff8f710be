"""What a bare machine lacks: a data folder comes in, a Docker engine, base images and a registry go out."""

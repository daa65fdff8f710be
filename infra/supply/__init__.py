"""What others wrote and we ship or run: locks come in, what is known of their packages goes out."""

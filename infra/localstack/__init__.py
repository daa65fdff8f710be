"""Berth on LocalStack: a data folder comes in, LocalStack with the application deployed to it goes out."""

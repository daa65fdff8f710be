"""All that runs in Lambda: AWS's events come in; records, messages and frames go out."""

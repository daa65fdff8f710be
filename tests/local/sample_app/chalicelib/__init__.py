"""What the sample application's handlers share."""

ANSWER = "first"

"""What crosses a process boundary: plain, validated messages in; the same messages out, byte for byte."""

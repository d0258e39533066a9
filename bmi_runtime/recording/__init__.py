"""The append-only recording: writer, reader, recovery, export."""

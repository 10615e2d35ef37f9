"""The rows that the import of an export ends in, to compare with those worked by hand."""


def rows_of(imported):
    """Return the imported rows as lists."""
    columns = ["video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id"]
    return imported.annotations.rows[columns].to_numpy().tolist()

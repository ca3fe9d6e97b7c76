"""Files on this machine that deltas are made of: kept bases, copies of a training job's files, scratch folders."""

"""Files of this machine: written aside and renamed, locked, read ahead."""

"""Frames survive any cutting of the stream."""

import socket

from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.pod.worker.frames import ALL_JSON, FrameKind, FrameReader, WorkerFrame, header, take_frame

FRAMES = st.lists(
    st.builds(
        WorkerFrame,
        st.sampled_from([int(k) for k in FrameKind]),
        st.integers(0, 2**64 - 1),
        st.integers(0, 999),
        st.sampled_from([ALL_JSON, 0, 17]),
        st.binary(max_size=200),
    ),
    max_size=8,
)


def encoded(frames: list[WorkerFrame]) -> bytes:
    return b"".join(
        header(
            FrameKind(f.kind), len(f.body), request_id=f.request_id, status=f.status, json_size_bytes=f.json_size_bytes
        )
        + f.body
        for f in frames
    )


@given(FRAMES, st.integers(1, 50))
def test_frames_arrive_whole_and_in_order_however_they_are_cut(frames: list[WorkerFrame], step: int) -> None:
    stream = encoded(frames)
    buffer, taken = bytearray(), []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        while (frame := take_frame(buffer)) is not None:
            taken.append(frame)
    assert taken == frames
    assert not buffer


@given(FRAMES, st.integers(0, 30))
def test_a_stream_that_ends_in_a_frame_gives_the_whole_ones_and_then_none(frames: list[WorkerFrame], cut: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(encoded(frames)[: -cut or None])
        ours.shutdown(socket.SHUT_WR)
        reader, read = FrameReader(theirs), []
        while (frame := reader.read()) is not None:
            read.append(frame)
            while (frame := reader.arrived()) is not None:
                read.append(frame)
    assert read == frames[: len(read)]
    if cut == 0:
        assert read == frames

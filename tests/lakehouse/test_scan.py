"""The scan: canaries planted in every format and spelling are found, nothing else is, and what can't be decoded is told."""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import pickle
import sqlite3
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lakehouse.needles import found_in, needles_of
from jobs.lakehouse.personal_kinds import PersonalKind
from jobs.lakehouse.scan import Report, scan

VALUES: list[tuple[PersonalKind, str]] = [
    ("phone", "13987654321"),
    ("email", "Alice.Liddell@Example.com"),
    ("name", "欧阳雪梅"),
    ("address", "上海市黄浦区人民大道200号3栋"),
    ("national_id", "11010519491231002X"),
    ("device_id", "EA7583CD-A667-48BC-B806-42ECB2B48606"),
    ("open_id", "oGZUI0egBJY1zhBYw2KhdUfwVJJE"),
    ("payment_account", "6222 0212 3456 7894"),
    ("phone", "+44 20 7946 0018"),
    ("name", "Bruno Sylvester"),
    ("address", "12 Long Road, London"),
    ("device_id", "35-209900-176148-1"),
    ("email", "王芳@例子.中国"),
    ("payment_account", "pay-bd4b4bb15e779780"),
    ("national_id", "E1234-5678"),
    ("birth_date", "1953/07/04"),
    ("text", "Call me, please: the lid of my kettle is broken!"),
]
(
    PHONE,
    EMAIL,
    NAME,
    ADDRESS,
    NATIONAL_ID,
    DEVICE,
    OPEN_ID,
    CARD,
    ABROAD,
    LATIN,
    ROAD,
    IMEI,
    HAN_EMAIL,
    WALLET,
    PASSPORT,
    BIRTH_DATE,
    SPOKEN,
) = range(len(VALUES))
NEEDLES = needles_of(VALUES)
ALL = "\n".join(value for _, value in VALUES)
EVERY = set(range(len(VALUES)))


def scanned(folder: Path) -> Report:
    return scan([folder], NEEDLES)


def numbers(report: Report) -> set[int]:
    return {finding.number for finding in report.findings}


@pytest.mark.parametrize(
    ("number", "spelled"),
    [
        (PHONE, "call 13987654321!"),
        (PHONE, "+8613987654321"),
        (PHONE, "+86 139 8765 4321"),
        (PHONE, "0086-139-8765-4321"),
        (PHONE, "(139) 8765.4321"),
        (PHONE, "１３９８７６５４３２１"),
        (PHONE, "139\u200b8765\u00ad4321"),
        (PHONE, "phone=%2B86%20139%208765%204321&x=1"),
        (PHONE, r"{\"phone\":\"\\u0031\\u0033987654321\"}"),
        (PHONE, "order20251228-13987654321-7"),
        (PHONE, "u13987654321x"),
        (PHONE, "1.3987654321E10"),
        (PHONE, "&#49;3987654321"),
        (EMAIL, "ALICE.LIDDELL@EXAMPLE.COM"),
        (EMAIL, "<mailto:alice.liddell@example.com>,"),
        (EMAIL, "contact:alice.liddell@example.com."),
        (EMAIL, "alice.liddell%40example.com"),
        (EMAIL, "alice.liddell @ example.com"),
        (EMAIL, "ａｌｉｃｅ.liddell＠example.com"),
        (HAN_EMAIL, "write to 王芳@例子.中国"),
        (NAME, "会员欧阳雪梅女士"),
        (NAME, "欧阳 雪梅"),
        (NAME, r"\u6b27\u9633\u96ea\u6885"),
        (NAME, quote("欧阳雪梅")),
        (NAME, html.escape("欧阳雪梅").encode("ascii", "xmlcharrefreplace").decode()),
        (ADDRESS, "上海市 黄浦区，人民大道２００号 3栋"),
        (ADDRESS, "寄到上海市黄浦区人民大道200号3栋502室"),
        (NATIONAL_ID, "11010519491231002x"),
        (NATIONAL_ID, "110105 19491231 002X"),
        (NATIONAL_ID, "110105491231002"),
        (DEVICE, "idfa: ea7583cda66748bcb80642ecb2b48606"),
        (DEVICE, "EA:75:83:CD:A6:67:48:BC:B8:06:42:EC:B2:B4:86:06"),
        (OPEN_ID, "openid/oGZUI0egBJY1zhBYw2KhdUfwVJJE?"),
        (CARD, "6222021234567894"),
        (CARD, "6222-0212-3456-7894"),
        (ABROAD, "+442079460018"),
        (ABROAD, "020 7946 0018"),
        (LATIN, "Mr. BRUNO   SYLVESTER"),
        (LATIN, "bruno_sylvester"),
        (ROAD, "12, long road - LONDON;"),
        (WALLET, "payer=pay-bd4b4bb15e779780&"),
        (WALLET, "PAYBD4B4BB15E779780"),
        (PASSPORT, "e12345678"),
        (PASSPORT, "E-1234-5678"),
        (SPOKEN, "call me please - the lid of my\nkettle is broken"),
        (BIRTH_DATE, "born=1953-07-04T00:00:00"),
        (BIRTH_DATE, "19530704"),
        (BIRTH_DATE, "1953年7月4日"),
        (BIRTH_DATE, "１９５３．7．4"),
        (IMEI, "352099001761481"),
        (IMEI, "35-209900-176148-1"),
    ],
)
def test_every_spelling_is_found(number: int, spelled: str) -> None:
    assert found_in(NEEDLES, f"before {spelled} after") == {number}
    assert found_in(NEEDLES, spelled) == {number}


@pytest.mark.parametrize(
    "harmless",
    [
        "139****4321",
        "a***@example.com",
        "欧*",
        "上海市***",
        "110***********002X",
        "1398765432",
        "239 8765 4321",
        "13987654322",
        "12:39:87 65:43:21",
        "2024-01-01 13:9:8 765",
        "xalice@example.com",
        "alice.liddell@example.co",
        "12 long roadside",
        "112 long road london",
        "bruno sylvesterson",
        "ea7583cda66748bcb80642ecb2b48607",
        "",
    ],
)
def test_masks_and_others_values_are_not(harmless: str) -> None:
    assert found_in(NEEDLES, harmless) == set()


@given(text=st.text(max_size=60))
def test_a_needle_is_found_between_any_texts(text: str) -> None:
    apart = f"{text}\n{ALL}\n{text}"
    assert found_in(NEEDLES, apart) == EVERY


def test_what_is_too_short_to_be_told_from_chance_is_named() -> None:
    short: list[tuple[PersonalKind, str]] = [
        ("phone", "12345"),
        ("name", "王"),
        ("name", "Li"),
        ("email", ""),
        ("name", "王伟"),
    ]
    assert needles_of(short).too_short == (0, 1, 2, 3)


def written_parquet(table: pa.Table, **how: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **how)
    return sink.getvalue()


def column(values: Sequence[object], kind: pa.DataType | None = None, **how: object) -> bytes:
    return written_parquet(pa.table({"told": pa.array(values, kind)}), **how)


LINES = [value for _, value in VALUES]
NOISE = [f"noise {number}" for number in range(500)]
INNER = pa.struct([("told", pa.list_(pa.string()))])
PAIRS = pa.map_(pa.string(), pa.string())
NESTED = pa.array(
    [[{"inner": {"told": LINES}, "pairs": [("key", ALL)]}]],
    pa.list_(pa.struct([("inner", INNER), ("pairs", PAIRS)])),
)


def ubj_of(*texts: str) -> bytes:
    """The texts as an XGBoost model of the universal binary JSON format holds them."""
    told = [b"SL" + struct.pack(">q", len(text.encode())) + text.encode() for text in texts]
    return b"{L" + struct.pack(">q", 5) + b"names[#L" + struct.pack(">q", len(told)) + b"".join(told) + b"}"


def sqlite_of(*cells: object, wal: bool = False) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute('create table "the ""odd"" one" (id integer primary key, told)')
    connection.executemany('insert into "the ""odd"" one" (told) values (?)', [(cell,) for cell in cells])
    connection.commit()
    made = connection.serialize()
    return made[:18] + b"\x02\x02" + made[20:] if wal else made


def zipped(name: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return sink.getvalue()


def tarred(name: str, content: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return sink.getvalue()


def arrow_packed(codec: str, content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(content)
    return bytes(sink.getvalue().to_pybytes())


def block(codec: str, content: bytes) -> bytes:
    return bytes(pa.compress(content, codec=codec, asbytes=True))


def lz4_of_java(content: bytes) -> bytes:
    packed = block("lz4_raw", content)
    end = b"LZ4Block\x16" + bytes(12)
    return b"LZ4Block\x26" + struct.pack("<iii", len(packed), len(content), 0) + packed + end


def snappy_of_java(content: bytes) -> bytes:
    packed = block("snappy", content)
    return b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + struct.pack(">i", len(packed)) + packed


def snappy_of_hadoop(content: bytes) -> bytes:
    packed = block("snappy", content)
    return struct.pack(">ii", len(content), len(packed)) + packed


def delta_commit() -> bytes:
    stats = json.dumps({"numRecords": 1, "minValues": {"told": ALL}, "maxValues": {"told": ALL}})
    return json.dumps({"add": {"path": "part-0.parquet", "stats": stats}}).encode()


def delta_checkpoint() -> bytes:
    add = pa.array([{"path": "part-0.parquet", "stats": json.dumps({"minValues": {"told": ALL}})}])
    return written_parquet(pa.table({"add": add}), compression="snappy")


TEXT = (ALL + "\n" + "\n".join(NOISE)).encode()
FORMATS: dict[str, Callable[[], bytes]] = {
    "told.csv": lambda: TEXT,
    "told.json": lambda: json.dumps({"told": LINES}).encode(),
    "told-utf16.csv": lambda: ALL.encode("utf-16"),
    "told-gb.csv": lambda: ALL.encode("gb18030"),
    "told.csv.gz": lambda: gzip.compress(TEXT),
    "two-members.gz": lambda: gzip.compress(b"first") + gzip.compress(TEXT),
    "told.bz2": lambda: bz2.compress(TEXT),
    "told.xz": lambda: lzma.compress(TEXT),
    "events.zstd": lambda: arrow_packed("zstd", TEXT),
    "two-frames.zstd": lambda: arrow_packed("zstd", b"first") + arrow_packed("zstd", TEXT),
    "events.lz4": lambda: arrow_packed("lz4", TEXT),
    "state.delta": lambda: lz4_of_java(TEXT),
    "events.snappy": lambda: snappy_of_java(TEXT),
    "lines.snappy": lambda: snappy_of_hadoop(TEXT),
    "block.snappy": lambda: block("snappy", TEXT),
    "told.zip": lambda: zipped("inner.csv", TEXT),
    "told.tar": lambda: tarred("inner.csv", TEXT),
    "nested.tar.gz": lambda: gzip.compress(tarred("inner.zip", zipped("inner.parquet", column([ALL])))),
    "00000000000000000001.json": delta_commit,
    "00000000000000000010.checkpoint.parquet": delta_checkpoint,
    "uncompressed.parquet": lambda: column([*LINES, *NOISE], compression="none"),
    "snappy.parquet": lambda: column([*LINES, *NOISE], compression="snappy"),
    "zstd.parquet": lambda: column([*LINES, *NOISE], compression="zstd"),
    "gzip.parquet": lambda: column([*LINES, *NOISE], compression="gzip"),
    "brotli.parquet": lambda: column([*LINES, *NOISE], compression="brotli"),
    "lz4.parquet": lambda: column([*LINES, *NOISE], compression="lz4"),
    "plain-pages.parquet": lambda: column([*LINES, *NOISE], use_dictionary=False, write_statistics=False),
    "second-pages.parquet": lambda: column([*LINES, *NOISE], data_page_version="2.0", write_statistics=False),
    "delta-pages.parquet": lambda: column(
        [*LINES, *NOISE], use_dictionary=False, write_statistics=False, column_encoding="DELTA_BYTE_ARRAY"
    ),
    "row-groups.parquet": lambda: column([*NOISE, *LINES], row_group_size=100),
    "nested.parquet": lambda: written_parquet(pa.table({"nested": NESTED}), write_statistics=False),
    "binary.parquet": lambda: column([value.encode() for value in LINES], pa.binary(), write_statistics=False),
    "packed-binary.parquet": lambda: column([gzip.compress(TEXT)], pa.binary()),
    "footer.parquet": lambda: written_parquet(pa.table({"n": [1]}).replace_schema_metadata({"told": ALL})),
    "told.db": lambda: sqlite_of(*LINES),
    "wal.db": lambda: sqlite_of(*LINES, wal=True),
    "blob.db": lambda: sqlite_of(*[value.encode() for value in LINES]),
    "packed-blob.db": lambda: sqlite_of(b"\xff\x00", zlib.compress(b""), gzip.compress(TEXT)),
    "model.pkl": lambda: pickle.dumps({"told": LINES, b"more": 1}),
    "bytes.pkl": lambda: pickle.dumps({"told": gzip.compress(TEXT)}),
    "model.ubj": lambda: ubj_of(*LINES),
    "rdd/part-00000": lambda: b"\xac\xed\x00\x05\x7a\x00\x00\x04\x00" + ALL.encode() + b"\x00\xff",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_canaries_are_found_in_every_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(FORMATS[name]())
    report = scanned(tmp_path)
    assert report.undecoded == ()
    assert numbers(report) == EVERY
    assert {finding.file for finding in report.findings} == {str(tmp_path / name)}
    assert (report.files, report.is_clean) == (1, False)
    for secret in LINES:
        assert secret not in repr(report), "a report does not spread what it found"


@pytest.mark.parametrize(
    "name", [name for name in FORMATS if name.endswith((".parquet", ".db", ".zip", ".gz", ".pkl"))]
)
def test_the_values_are_found_by_decoding_and_not_by_luck_in_the_bytes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMATS[name]())
    places = {finding.place for finding in scanned(tmp_path).findings}
    assert places - {"bytes"}, places


def test_numbers_and_statistics_are_read_as_what_they_stand_for(tmp_path: Path) -> None:
    phone = 13987654321
    for name, values, kind in (
        ("long", [phone, None, 1], pa.int64()),
        ("double", [float(phone), None, float("nan")], pa.float64()),
        ("decimal", [phone, None, 1], pa.decimal128(20, 2)),
        ("text", [str(phone), None, "noise"], pa.string()),
    ):
        (tmp_path / f"{name}.parquet").write_bytes(column(values, kind))
    (tmp_path / "numbers.db").write_bytes(sqlite_of(phone, float(phone), None))
    (tmp_path / "number.pkl").write_bytes(pickle.dumps([phone]))
    found = {(Path(finding.file).stem, finding.place) for finding in scanned(tmp_path).findings}
    assert {("long", "told"), ("double", "told"), ("decimal", "told"), ("text", "told")} <= found
    assert {("long", "statistics of told"), ("text", "statistics of told")} <= found
    assert {name for name, _ in found} == {"long", "double", "decimal", "text", "numbers", "number"}


def test_deleted_rows_are_found_in_the_free_pages_of_a_database(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    with sqlite3.connect(file) as connection:
        connection.execute("pragma secure_delete = off")
        connection.execute("create table told (value text)")
        connection.execute("insert into told values (?)", (ALL,))
        connection.commit()
        connection.execute("delete from told")
        connection.commit()
    connection.close()
    assert numbers(scanned(tmp_path)) >= {PHONE, EMAIL, NAME}


def test_paths_tell_too(tmp_path: Path) -> None:
    (tmp_path / "phone=%2B8613987654321").mkdir()
    (tmp_path / "phone=%2B8613987654321/part-0.csv").write_text("n\n1\n", "utf-8")
    assert {(finding.place, finding.number) for finding in scanned(tmp_path).findings} == {("path", PHONE)}


def test_java_serialised_rows_are_read_across_their_blocks(tmp_path: Path) -> None:
    whole = b"x" * 850 + b"\n" + ALL.encode()
    blocks = [whole[start : start + 1024] for start in range(0, len(whole), 1024)]
    heads = [b"\x7a\x00\x00\x04\x00", b"\x77" + bytes([len(blocks[-1])])]
    (tmp_path / "part-00000").write_bytes(
        b"\xac\xed\x00\x05" + b"".join(h + b for h, b in zip(heads, blocks, strict=True))
    )
    assert numbers(scanned(tmp_path)) == EVERY


def test_the_first_offsets_of_a_stream_begin_with_a_zero_byte(tmp_path: Path) -> None:
    (tmp_path / "sources/0").mkdir(parents=True)
    (tmp_path / "sources/0/0").write_bytes(b"\0v1\n" + json.dumps({"clicks": {"0": "139-8765-4321"}}).encode())
    report = scanned(tmp_path)
    assert numbers(report) == {PHONE}
    assert report.undecoded == ()


def test_kryo_marks_the_last_letter(tmp_path: Path) -> None:
    (tmp_path / "kryo.bin").write_bytes(b"\x01\x0313987654321"[:-1] + bytes([ord("1") | 0x80]) + b"\x00\xff")
    assert numbers(scanned(tmp_path)) == {PHONE}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cut.csv.gz", lambda: gzip.compress(TEXT)[:-40], "cut off"),
        ("cut.zstd", lambda: arrow_packed("zstd", TEXT)[:-9], "cut off"),
        ("broken.parquet", lambda: column([ALL])[:-30] + b"PAR1", "can't be read"),
        ("broken.db", lambda: sqlite_of(*LINES)[:100] + bytes(4000), "can't be read"),
        ("broken.zip", lambda: zipped("a", TEXT)[:-10], "can't be read"),
        ("unknown.avro", lambda: b"Obj\x01\x02\xff\xfe", "unknown binary format"),
        ("random", lambda: bytes(range(256)), "unknown binary format"),
        ("secret.zip", lambda: bytes(_encrypted(zipped("a.csv", TEXT))), "member can't be read"),
        ("deep.gz", lambda: _packed_often(TEXT, 12), "packed too deep"),
    ],
)
def test_what_cannot_be_decoded_is_told(tmp_path: Path, name: str, content: Callable[[], bytes], reason: str) -> None:
    (tmp_path / name).write_bytes(content())
    report = scanned(tmp_path)
    assert [reason in entry.reason for entry in report.undecoded] == [True], report.undecoded
    assert not report.is_clean


def test_what_precedes_a_break_is_searched_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT + base64.b64encode(bytes(range(256)) * 99))[:-200])
    assert numbers(scanned(tmp_path)) == EVERY


def test_a_folder_without_values_is_clean_and_a_missing_one_empty(tmp_path: Path) -> None:
    (tmp_path / "fine.parquet").write_bytes(column([*NOISE, "139****4321", None]))
    (tmp_path / "fine.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    (tmp_path / "empty").write_bytes(b"")
    report = scan([tmp_path, tmp_path / "missing"], NEEDLES)
    assert report.is_clean, report
    assert report.files == 3
    assert report.size_bytes > 0


def test_very_many_needles_cost_no_more_than_few(tmp_path: Path) -> None:
    many: list[tuple[PersonalKind, str]] = [("phone", f"139{number:08d}") for number in range(40_000, 100_000)]
    many += [("email", f"person{number}@example.com") for number in range(60_000)]
    needles = needles_of(many)
    rows = [f"{number:032x},c-{number:016x},2025-01-01 10:00:00,{number / 7:.2f}" for number in range(30_000)]
    (tmp_path / "rows.csv").write_text("\n".join([*rows, "13900050000", "person7@example.com"]), "utf-8")
    started = time.process_time()
    report = scan([tmp_path], needles)
    assert numbers(report) == {10_000, 60_007}
    assert time.process_time() - started < 10, "2 MB against 120,000 needles, one by one some hours"


def _encrypted(archive: bytes) -> bytearray:
    """The archive with its only member marked as encrypted."""
    marked = bytearray(archive)
    marked[6] |= 1
    marked[archive.index(b"PK\x01\x02") + 8] |= 1
    return marked


def _packed_often(content: bytes, times: int) -> bytes:
    for _ in range(times):
        content = gzip.compress(content)
    return content

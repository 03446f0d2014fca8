# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""`lpm`, compiled: the same calls, the same answers. Its docstrings hold here as well; this is how it is done in C.

Prefixes of up to 64 bits without a zone are slots of 16 bytes in hash tables with open addressing: the prefix, its
length and its number; those that are no longer than a top have a table of their own. Once there are many of the others
they are spread over `SHARDS` tables, so that none ever grows by more than a small part of the whole. Which lengths are
to be tried is known for each part of a block (`Part`). What is longer than 64 bits or has a zone (host routes,
link-local prefixes) is in a dictionary, as in `lpm`; there is little of it.

What a lookup in a big table costs is waiting for memory: so all slots that may be wanted are asked for at the same
time, and big tables of IPv4 have leaves (`Leaf`), which answer with one access what can be answered so.
"""

import errno

from cpython.list cimport PyList_GET_ITEM
from cpython.long cimport PyLong_AsUnsignedLongLong
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memset

include "_lpm_tables.pxi"


include "_lpm_slots.pxi"


cdef class Lpm(Slots):
    """The index; see `lpm.Lpm`."""

    # -- questions ------------------------------------------------------------------------------------------------

    cdef inline int _split(self, object address, uint64_t* first) except -1:
        """The first 64 bits of an address; 1 when it has a zone, or is none."""
        cdef object high = address if self._spare else address >> 64
        if not 0 <= high <= self._limit:
            return 1
        first[0] = PyLong_AsUnsignedLongLong(high) << self._spare
        return 0

    cdef inline uint64_t _long_lengths(self, uint64_t first) noexcept nogil:
        """Bit n: prefixes of n + 1 bits are to be tried, longer than a top."""
        cdef Part* part
        if self._parts.parts == NULL:
            return 0
        part = _part_at(&self._parts, first & _mask(self._top_bits + PART_BITS))
        return <uint64_t>part.lengths << self._top_bits if part.members else 0

    cdef inline object _ready(self, uint32_t number):
        """The first route of a way that is ready, or None."""
        cdef object way = <object>PyList_GET_ITEM(self._ways, number)
        cdef object route
        cdef Py_ssize_t at
        for at in range(PyTuple_GET_SIZE(way)):
            route = <object>PyTuple_GET_ITEM(way, at)
            if route.gate.ready:
                return route
        return None

    cdef object _look_wide(self, object dst, tuple shifts):
        cdef object marked = dst + self._marker
        cdef object found
        for shift in shifts:
            number = self._wide.get(marked >> shift)
            if number is not None:
                found = self._ready(number)
                if found is not None:
                    return found
        return None

    def lookup(self, object dst):
        cdef uint64_t first = 0
        cdef uint64_t lengths, rest, h
        cdef uint32_t value
        cdef uint64_t hashes[64]
        cdef int length
        cdef Shard* shard
        cdef Slot* slot
        cdef object found
        if self._split(dst, &first):
            return self._look_wide(dst, self._zoned_shifts)
        if self._wide_shifts:
            found = self._look_wide(dst, self._wide_shifts)
            if found is not None:
                return found
        value = FURTHER if self._leaves == NULL else self._leaf_value(first)
        if value and value != FURTHER:
            found = self._ready(value - 1)
            if found is not None:
                return found
        if value:
            h = _hash(first & _mask(self._popular), self._popular + 1)
            shard = self._shard(h, self._popular)
            __builtin_prefetch(&shard.slots[<uint32_t>h & shard.mask])
        lengths = rest = self._long_lengths(first) if value else 0
        while rest:  # big tables are in no cache of the processor's: what may be wanted is fetched at the same time
            length = 64 - __builtin_clzll(rest)
            rest ^= <uint64_t>1 << (length - 1)
            hashes[length - 1] = h = _hash(first & _mask(length), length + 1)
            shard = self._shard(h, length)
            __builtin_prefetch(&shard.slots[<uint32_t>h & shard.mask])
        while lengths:
            length = 64 - __builtin_clzll(lengths)
            lengths ^= <uint64_t>1 << (length - 1)
            h = hashes[length - 1]
            slot = _seek(self._shard(h, length), h, first & _mask(length), length + 1)
            if slot != NULL:
                found = self._ready(slot.number)
                if found is not None:
                    return found
        lengths = self._short
        while lengths:
            length = 64 - __builtin_clzll(lengths)
            lengths ^= <uint64_t>1 << (length - 1)
            slot = self._find(first & _mask(length), length)
            if slot != NULL:
                found = self._ready(slot.number)
                if found is not None:
                    return found
        if self._counts[0]:
            return self._ready(self._find(0, 0).number)
        return None

    def lookup_via(self, object dst, object dev):
        if dev.ready:
            for number in self._matching(dst):
                for route in self._ways[number]:
                    if route.dev is dev:
                        return route
                    if route.nexthops is not None:
                        member = route.nexthops.by_device(dev)
                        if member is not None:
                            return member
        return None

    cdef list _matching(self, object dst):
        cdef list found = []
        cdef uint64_t first = 0
        cdef int length
        cdef Slot* slot
        cdef bint is_zoned = self._split(dst, &first)
        marked = dst + self._marker
        for shift in self._zoned_shifts if is_zoned else self._wide_shifts:
            number = self._wide.get(marked >> shift)
            if number is not None:
                found.append(number)
        if not is_zoned:
            for length in range(64, -1, -1):
                if self._counts[length]:
                    slot = self._find(first & _mask(length), length)
                    if slot != NULL:
                        found.append(slot.number)
        return found

    # -- changes --------------------------------------------------------------------------------------------------

    cdef int _locate(self, object prefix, int length, uint64_t* first) except -1:
        """Where a prefix belongs: 0 in a slot, 1 in the dictionary, 2 nowhere, for it is none."""
        cdef int shift = self._bits - length
        if not 0 <= length <= self._bits:
            return 2
        if self._split(prefix, first) or length > 64:
            marked = prefix + self._marker
            return 1 if marked >> shift << shift == marked and marked >> self._width == 1 else 2
        if first[0] & ~_mask(length) or (not self._spare and prefix & 0xFFFFFFFFFFFFFFFF):
            return 2
        return 0

    def get(self, object prefix, int length):
        cdef uint64_t first = 0
        cdef int where = self._locate(prefix, length, &first)
        cdef Slot* slot
        if where == 0:
            slot = self._find(first, length)
            return -1 if slot == NULL else slot.number
        return -1 if where == 2 else self._wide.get((prefix + self._marker) >> (self._bits - length), -1)

    def insert(self, object prefix, int length, object number):
        cdef uint64_t first = 0
        cdef uint64_t h
        cdef int where = self._locate(prefix, length, &first)
        cdef Slot* slot
        if where == 2:
            raise OSError(errno.EINVAL, "not a prefix of an address")
        if where == 1:
            return self._insert_wide(prefix, length, number)
        h = _hash(first, length + 1)
        slot = _seek(self._shard(h, length), h, first, length + 1)
        if slot != NULL:
            return slot.number
        if length > self._top_bits and self._shard_count == 1 and self._shards[0].used >= MANY:
            self._spread()
        _put(self._shard(h, length), h, first, length + 1, number)
        self._counts[length] += 1
        if self._counts[length] > self._counts[self._popular]:
            self._popular = length
        if length > self._top_bits:
            self._enter_parts(first, length)
            if self._leaves != NULL:
                self._enter_leaf(first, length, number)
        elif length:
            self._short |= <uint64_t>1 << (length - 1)
        return -1

    cdef object _insert_wide(self, object prefix, int length, object number):
        cdef int shift = self._bits - length
        key = (prefix + self._marker) >> shift
        there = self._wide.get(key)
        if there is not None:
            return there
        self._wide[key] = number
        if prefix >> 128:
            if shift not in self._zoned_shifts:
                self._zoned_shifts = tuple(sorted((*self._zoned_shifts, shift)))
        elif shift not in self._wide_shifts:
            self._wide_shifts = tuple(sorted((*self._wide_shifts, shift)))
        return -1

    def replace(self, object prefix, int length, object number):
        cdef uint64_t first = 0
        if self._locate(prefix, length, &first) == 0:
            self._find(first, length).number = number
            if self._leaves != NULL and self._top_bits < length <= LEAF_BITS:
                self._paint(first, length, length, <uint32_t>number + 1, length)
        else:
            self._wide[(prefix + self._marker) >> (self._bits - length)] = number

    def delete(self, object prefix, int length):
        cdef uint64_t first = 0
        cdef uint64_t h
        cdef Shard* shard
        if self._locate(prefix, length, &first) == 0:
            h = _hash(first, length + 1)
            shard = self._shard(h, length)
            self._delete(shard, _seek(shard, h, first, length + 1))
            return
        del self._wide[(prefix + self._marker) >> (self._bits - length)]
        if not len(self._wide) & (len(self._wide) - 1):
            self._review_wide()

    cdef int _delete(self, Shard* shard, Slot* slot) except -1:
        cdef uint64_t first = slot.prefix
        cdef int length = <int>slot.tag - 1
        _drop(shard, slot)
        self._counts[length] -= 1
        if length > self._top_bits:
            self._leave_parts(first, length)
            if self._leaves != NULL:
                self._leave_leaf(first, length)
        elif length and not self._counts[length]:
            self._short &= ~(<uint64_t>1 << (length - 1))
        return 0

    cdef _review_wide(self):
        shifts = [{}, {}]
        for key in self._wide:
            shift = self._width + 1 - key.bit_length()
            shifts[(key << shift) - self._marker >> 128 != 0][shift] = None
        self._wide_shifts, self._zoned_shifts = (tuple(sorted(some)) for some in shifts)

    # -- all of it ------------------------------------------------------------------------------------------------

    def __iter__(self):
        cdef int length
        wide = sorted([self._of_key(key) for key in self._wide])
        at = 0
        for length in range(self._bits + 1):
            if length <= 64 and self._counts[length]:
                for prefixes in self._sorted(length):
                    for prefix in prefixes:
                        number = self.get(prefix, length)
                        if number >= 0:
                            yield prefix, length, number
            while at < len(wide) and wide[at][0] == length:
                prefix = wide[at][1]
                at += 1
                number = self.get(prefix, length)
                if number >= 0:
                    yield prefix, length, number

    cdef tuple _of_key(self, object key):
        shift = self._width + 1 - key.bit_length()
        return self._bits - shift, (key << shift) - self._marker

    def _sorted(self, int length):
        """The prefixes of one length in order, piece by piece: put into buckets now, by the first bits in which they
        differ, and each bucket sorted when it is its turn."""
        cdef uint64_t* found
        cdef uint64_t starts[BUCKETS + 1]
        cdef uint64_t count = self._counts[length]
        cdef uint64_t start
        cdef uint64_t some = 0
        cdef uint64_t every = ~<uint64_t>0
        cdef uint32_t at
        cdef int n
        cdef int low = 0
        cdef Shard* shard
        cdef Slot* slot
        buffer = bytearray(8 * count)
        found = <uint64_t*><char*>buffer
        memset(starts, 0, sizeof(starts))
        for n in range(-1, self._shard_count):
            shard = &self._tops if n < 0 else &self._shards[n]
            for at in range(shard.mask + 1 if shard.used else 0):
                if shard.slots[at].tag == <uint32_t>length + 1:
                    some |= shard.slots[at].prefix
                    every &= shard.slots[at].prefix
        while some >> low and (some ^ every) >> low >= BUCKETS:  # the first bits that are not the same in all
            low += 1
        for n in range(-1, self._shard_count):
            shard = &self._tops if n < 0 else &self._shards[n]
            for at in range(shard.mask + 1 if shard.used else 0):
                if shard.slots[at].tag == <uint32_t>length + 1:
                    starts[(shard.slots[at].prefix >> low & BUCKETS - 1) + 1] += 1
        for n in range(BUCKETS):
            starts[n + 1] += starts[n]
        bounds = [starts[n] for n in range(BUCKETS + 1)]
        for n in range(-1, self._shard_count):
            shard = &self._tops if n < 0 else &self._shards[n]
            for at in range(shard.mask + 1 if shard.used else 0):
                slot = &shard.slots[at]
                if slot.tag == <uint32_t>length + 1:
                    start = slot.prefix >> low & BUCKETS - 1
                    found[starts[start]] = slot.prefix
                    starts[start] += 1
        return _buckets(buffer, bounds, self._spare, self._bits - 64 + self._spare)

    def find(self, set numbers):
        cdef int n
        cdef uint32_t at
        cdef Shard* shard
        cdef Slot slot
        cdef bytearray wanted = bytearray(len(self._ways) + 1)
        for number in numbers:
            wanted[number] = 1
        for n in range(-1, self._shard_count):
            shard = &self._tops if n < 0 else &self._shards[n]
            for at in range(shard.mask + 1 if shard.used else 0):
                slot = shard.slots[at]
                if slot.tag and wanted[slot.number]:
                    yield self._whole(slot.prefix), <int>slot.tag - 1, slot.number
        for key, number in self._wide.items():
            if number in numbers:
                length, prefix = self._of_key(key)
                yield prefix, length, number

    cdef object _whole(self, uint64_t first):
        return first >> self._spare if self._spare else <object>first << 64

    def sweep(self, numbers, budget):
        cdef bytearray wanted = bytearray(len(self._ways) + 1)
        cdef bytearray counts = bytearray(4 * len(wanted))
        cdef uint32_t* gone = <uint32_t*><char*>counts
        cdef uint32_t at
        cdef Shard* shard
        cdef Slot* slot
        cdef int64_t left = budget * LOOKS
        for number in numbers:
            wanted[<uint32_t>number] = 1
        before = len(self._wide)
        while self._sweep_keys and left > 0:
            left -= LOOKS
            key = self._sweep_keys.pop()
            value = self._wide.get(key, -1)
            if value >= 0 and wanted[<uint32_t>value]:
                del self._wide[key]
                gone[<uint32_t>value] += 1
        if len(self._wide).bit_length() != before.bit_length():
            self._review_wide()
        while left > 0:
            shard = &self._tops if self._sweep_shard < 0 else &self._shards[self._sweep_shard]
            while left > 0 and shard.slots != NULL and self._sweep_at <= shard.mask:
                slot = &shard.slots[self._sweep_at]
                left -= 1
                if slot.tag and wanted[slot.number]:
                    gone[slot.number] += 1
                    left -= LOOKS
                    self._delete(shard, slot)  # another one may be in its place now
                else:
                    self._sweep_at += 1
            if shard.slots != NULL and self._sweep_at <= shard.mask:
                break
            if not shard.used and self._sweep_shard >= 0:
                free(shard.slots)
                shard.slots, shard.mask = NULL, 0
            self._sweep_at = 0
            self._sweep_shard += 1
            if self._sweep_shard == self._shard_count:
                self._sweep_shard, self._sweep_keys = -1, list(self._wide)
                break
        found = {}
        for number in numbers:
            at = number
            if gone[at]:
                found[number] = gone[at]
        return found

    def shrink(self, count):
        cdef int n
        cdef uint32_t at
        cdef uint32_t tag
        cdef Shard* shard
        self._wide.clear()
        self._wide_shifts = self._zoned_shifts = ()
        for n in range(-1, self._shard_count):
            shard = &self._tops if n < 0 else &self._shards[n]
            if shard.slots == NULL:
                continue
            if count <= 0:
                return False
            for at in range(shard.mask + 1):
                tag = shard.slots[at].tag
                if tag:
                    self._counts[tag - 1] -= 1
            count -= shard.used
            free(shard.slots)
            shard.slots, shard.mask, shard.used = NULL, 0, 0
        self._fell_leaves()
        free(self._parts.parts)
        memset(&self._parts, 0, sizeof(Parts))
        self._short = 0
        return True


def _buckets(buffer, bounds, spare, shift):
    """The prefixes of `buffer` in order, in lists: a table's first bits may all be the same, so a bucket may hold most
    of it; it is sorted in place, and told in pieces."""
    prefixes = memoryview(buffer).cast("Q")
    for start, end in zip(bounds, bounds[1:]):
        _sort(buffer, start, end)
        for at in range(start, end, PIECE):
            yield [first >> spare << shift for first in prefixes[at : min(at + PIECE, end)]]


cdef _sort(bytearray buffer, uint64_t start, uint64_t end):
    qsort(<uint64_t*><char*>buffer + start, end - start, sizeof(uint64_t), _order)


cdef int _order(const void* one, const void* other) noexcept nogil:
    cdef uint64_t a = (<const uint64_t*>one)[0]
    cdef uint64_t b = (<const uint64_t*>other)[0]
    return (a > b) - (a < b)

# The memory of `_lpm.pyx`, which includes this file: where each prefix has its slot, when tables are spread, and the two
# short ways to an answer, the leaves of IPv4 and the lengths that a part of a block has.

cdef class Slots:
    """The memory of an index: its tables, and what has to be entered and left beside them."""

    cdef list _ways
    cdef int _bits, _width, _top_bits, _spare
    cdef object _marker, _limit
    cdef Shard _tops  # prefixes no longer than a top
    cdef Parts _parts
    cdef Leaf** _leaves  # by top; only of a big table of IPv4
    cdef uint8_t* _leaf_lengths  # of each /24: the length of what its leaf has of it; 0: it has nothing
    cdef Shard* _shards  # 1 or SHARDS
    cdef int _shard_count
    cdef uint64_t _short  # bit n: there are prefixes of n + 1 bits that are no longer than a top
    cdef int _popular  # the length of most prefixes
    cdef uint64_t _counts[65]  # prefixes in slots by length
    cdef dict _wide  # key -> number, as in lpm
    cdef tuple _wide_shifts  # of those longer than 64 bits without a zone
    cdef tuple _zoned_shifts
    cdef int _sweep_shard  # where `sweep` goes on: -1 is _tops
    cdef uint32_t _sweep_at
    cdef list _sweep_keys  # of _wide, before that

    def __cinit__(self, int bits, list ways):
        self._bits = bits
        self._ways = ways
        self._top_bits = 16 if bits == 32 else 32
        self._width = bits + (0 if bits == 32 else 32)
        self._spare = 64 - bits if bits == 32 else 0
        one = int(1)  # not C's: it is shifted further than C can
        self._marker = one << self._width
        self._limit = (one << (64 - self._spare)) - 1
        self._wide = {}
        self._wide_shifts = ()
        self._zoned_shifts = ()
        self._shards = <Shard*>calloc(1, sizeof(Shard))
        if self._shards == NULL:
            raise MemoryError
        self._shard_count = 1
        self._sweep_shard = -1
        self._sweep_keys = []

    def __dealloc__(self):
        cdef int n
        if self._shards != NULL:
            for n in range(self._shard_count):
                free(self._shards[n].slots)
            free(self._shards)
        free(self._tops.slots)
        free(self._parts.parts)
        self._fell_leaves()

    def __len__(self):
        cdef uint64_t count = len(self._wide)
        cdef int length
        for length in range(65):
            count += self._counts[length]
        return count

    cdef inline Shard* _shard(self, uint64_t h, int length) noexcept nogil:
        return &self._tops if length <= self._top_bits else &self._shards[(h >> 58) & (self._shard_count - 1)]

    cdef inline Slot* _find(self, uint64_t prefix, int length) noexcept nogil:
        cdef uint64_t h = _hash(prefix, length + 1)
        return _seek(self._shard(h, length), h, prefix, length + 1)

    cdef int _spread(self) except -1:
        """There are many slots now: from one table into `SHARDS`."""
        cdef Shard* old = self._shards
        cdef Shard* shards = <Shard*>calloc(SHARDS, sizeof(Shard))
        cdef uint64_t h
        cdef uint32_t at
        cdef Slot* slot
        if shards == NULL:
            raise MemoryError
        for at in range(old.mask + 1):
            slot = &old.slots[at]
            if slot.tag:
                h = _hash(slot.prefix, slot.tag)
                _put(&shards[(h >> 58) & (SHARDS - 1)], h, slot.prefix, slot.tag, slot.number)
        self._shards, self._shard_count = shards, SHARDS
        if self._bits == 32:
            self._leaf_lengths = <uint8_t*>calloc(TOPS4, 256)
            if self._leaf_lengths == NULL:
                raise MemoryError
            self._leaves = <Leaf**>calloc(TOPS4, sizeof(Leaf*))
            if self._leaves == NULL:
                raise MemoryError
            for at in range(old.mask + 1):
                slot = &old.slots[at]
                if slot.tag:
                    self._enter_leaf(slot.prefix, slot.tag - 1, slot.number)
        free(old.slots)
        free(old)
        return 0

    # -- leaves ---------------------------------------------------------------------------------------------------
    # Many memory accesses are what a lookup in a big table costs. A leaf answers most of them with one: it holds, for
    # each /24, what the slots would say. They are still asked when that route is not ready, or for longer prefixes.

    cdef int _enter_leaf(self, uint64_t prefix, int length, uint32_t number) except -1:
        """One more prefix that is longer than the top."""
        cdef Leaf* leaf = self._leaves[prefix >> 48]
        cdef int at = prefix >> 40 & 255
        if leaf == NULL:
            leaf = <Leaf*>calloc(1, sizeof(Leaf) + 3 * sizeof(uint32_t))
            if leaf == NULL:
                raise MemoryError
            leaf.starts[0], leaf.room = 1, 4
            self._leaves[prefix >> 48] = leaf
        leaf.members += 1
        if length > LEAF_BITS:
            leaf.longer[at >> 6] |= <uint64_t>1 << (at & 63)
            return 0
        return self._paint(prefix, length, 0, number + 1, length)

    cdef int _leave_leaf(self, uint64_t prefix, int length) except -1:
        cdef Leaf* leaf = self._leaves[prefix >> 48]
        cdef Slot* slot = NULL
        cdef int shorter
        leaf.members -= 1
        if not leaf.members:
            self._leaves[prefix >> 48] = NULL
            free(leaf)
            memset(&self._leaf_lengths[prefix >> 48 << 8], 0, 256)
        elif length <= LEAF_BITS:
            for shorter in range(length - 1, self._top_bits, -1):
                slot = self._find(prefix & _mask(shorter), shorter)
                if slot != NULL:
                    return self._paint(prefix, length, length, slot.number + 1, shorter)
            return self._paint(prefix, length, length, 0, 0)
        return 0

    cdef int _paint(self, uint64_t prefix, int length, int lowest, uint32_t value, int new) except -1:
        """Give the /24s of a prefix a value and the length that it comes from, those that have one of a length of
        `lowest` to the prefix's own."""
        cdef Leaf* leaf = self._leaves[prefix >> 48]
        cdef uint32_t values[256]
        cdef uint32_t now = 0
        cdef uint32_t runs = 0
        cdef int first = prefix >> 40 & 255
        cdef uint8_t* lengths = &self._leaf_lengths[prefix >> 48 << 8]
        cdef int at
        for at in range(256):
            if leaf.starts[at >> 6] >> (at & 63) & 1:
                now = leaf.runs[runs]
                runs += 1
            values[at] = now
        for at in range(first, first + (1 << (LEAF_BITS - length))):
            if lowest <= lengths[at] <= length:
                values[at], lengths[at] = value, new
        runs = 1
        for at in range(1, 256):
            runs += values[at] != values[at - 1]
        if runs > leaf.room:
            leaf = <Leaf*>realloc(leaf, sizeof(Leaf) + (runs + 8) * sizeof(uint32_t))
            if leaf == NULL:
                raise MemoryError
            leaf.room = runs + 8
            self._leaves[prefix >> 48] = leaf
        memset(leaf.starts, 0, sizeof(leaf.starts))
        runs = 0
        for at in range(256):
            if not at or values[at] != values[at - 1]:
                leaf.starts[at >> 6] |= <uint64_t>1 << (at & 63)
                leaf.runs[runs] = values[at]
                runs += 1
        return 0

    cdef inline uint32_t _leaf_value(self, uint64_t first) noexcept nogil:
        """The number of the longest prefix of 17 to 24 bits and 1; 0: there is none, nor a longer one; or `FURTHER`."""
        cdef Leaf* leaf = self._leaves[first >> 48]
        cdef int at = first >> 40 & 255
        cdef int word = at >> 6
        cdef int run
        if leaf == NULL:
            return 0
        __builtin_prefetch(<char*>leaf + 64)  # what is wanted is in one of these lines
        __builtin_prefetch(<char*>leaf + 128)
        __builtin_prefetch(<char*>leaf + 192)
        if leaf.longer[word] >> (at & 63) & 1:
            return FURTHER
        run = __builtin_popcountll(leaf.starts[word] << (63 - (at & 63))) - 1
        while word:
            word -= 1
            run += __builtin_popcountll(leaf.starts[word])
        return leaf.runs[run]

    cdef void _fell_leaves(self) noexcept nogil:
        cdef int top
        if self._leaves != NULL:
            for top in range(TOPS4):
                if self._leaves[top] != NULL:
                    free(self._leaves[top])
            free(self._leaves)
            free(self._leaf_lengths)
            self._leaf_lengths = NULL
            self._leaves = NULL

    cdef int _enter_parts(self, uint64_t prefix, int length) except -1:
        """One more prefix that is longer than the top."""
        cdef int more = length - self._top_bits
        cdef int bits = self._top_bits + PART_BITS
        cdef uint64_t first = prefix & _mask(bits)
        cdef uint32_t n
        cdef Part* part
        for n in range(1 if more >= PART_BITS else 1 << (PART_BITS - more)):
            if self._parts.used >= (self._parts.mask + 1) // 4 * 3:
                _grow(&self._parts)
            part = _part_at(&self._parts, first + (<uint64_t>n << (64 - bits)))
            if not part.members:
                part.prefix, part.lengths = first + (<uint64_t>n << (64 - bits)), 0
                self._parts.used += 1
            part.lengths |= <uint32_t>1 << (more - 1)
            part.members += 1
        return 0

    cdef void _leave_parts(self, uint64_t prefix, int length) noexcept nogil:
        cdef int more = length - self._top_bits
        cdef int bits = self._top_bits + PART_BITS
        cdef uint64_t first = prefix & _mask(bits)
        cdef uint32_t n
        cdef Part* part
        for n in range(1 if more >= PART_BITS else 1 << (PART_BITS - more)):
            part = _part_at(&self._parts, first + (<uint64_t>n << (64 - bits)))
            part.members -= 1
            if not part.members:
                _close(&self._parts, part)

# The hash tables of `_lpm.pyx`, which includes this file: slots with open addressing, and what is known of the parts of a
# block. Whoever changes a table asks for a place by a prefix's hash; a gap that is left is closed at once, so that a search
# ends at the first empty slot.

cdef extern from *:
    int __builtin_clzll(unsigned long long) nogil
    int __builtin_popcountll(unsigned long long) nogil
    void __builtin_prefetch(void*) nogil

cdef enum:
    SHARDS = 64
    TOPS4 = 65536
    LEAF_BITS = 24
    FURTHER = 0xFFFFFFFF
    MANY = 4096  # slots in one table, before they are spread
    BUCKETS = 4096
    PIECE = 4096
    PART_BITS = 3  # of a block, by these bits behind the top
    LOOKS = 32  # at a slot take as long as a change of one

cdef struct Slot:
    uint64_t prefix  # its first bits, from the top down
    uint32_t number  # of a block: its place among the blocks
    uint32_t tag  # 0: nothing here; otherwise the length and 1

cdef struct Shard:
    Slot* slots
    uint32_t mask  # one less than the number of slots
    uint32_t used

cdef struct Part:  # of a block
    uint64_t prefix
    uint32_t lengths  # bit n: there are prefixes n + 1 bits longer than the top, or were since it was last empty
    uint32_t members  # how many prefixes lie in it, or it in them; 0: nothing here

cdef struct Parts:
    Part* parts
    uint32_t mask
    uint32_t used


cdef struct Leaf:  # of a top of IPv4: what each of its 256 /24s has
    uint64_t starts[4]  # bit n: a run of equal ones begins with the n-th
    uint64_t longer[4]  # bit n: prefixes longer than 24 bits lie in the n-th, or did
    uint32_t members
    uint32_t room
    uint32_t runs[1]  # of each run: its number and 1; 0: none


cdef inline uint64_t _mask(int length) noexcept nogil:
    return <uint64_t>0 if length == 0 else ~<uint64_t>0 << (64 - length)


cdef inline uint64_t _hash(uint64_t prefix, uint32_t tag) noexcept nogil:
    cdef uint64_t h = (prefix ^ tag * <uint64_t>0x9E3779B97F4A7C15) * <uint64_t>0xD6E8FEB86659FD93
    h ^= h >> 32
    h *= <uint64_t>0xD6E8FEB86659FD93
    return h ^ h >> 29


cdef inline Slot* _seek(Shard* shard, uint64_t h, uint64_t prefix, uint32_t tag) noexcept nogil:
    cdef uint32_t at = <uint32_t>h & shard.mask
    cdef Slot* slot
    if shard.slots == NULL:
        return NULL
    while True:
        slot = &shard.slots[at]
        if slot.tag == tag and slot.prefix == prefix:
            return slot
        if slot.tag == 0:
            return NULL
        at = (at + 1) & shard.mask


cdef inline void _place(Shard* shard, uint64_t h, Slot new) noexcept nogil:
    cdef uint32_t at = <uint32_t>h & shard.mask
    while shard.slots[at].tag:
        at = (at + 1) & shard.mask
    shard.slots[at] = new
    shard.used += 1


cdef int _put(Shard* shard, uint64_t h, uint64_t prefix, uint32_t tag, uint32_t number) except -1:
    """Fill a new slot."""
    cdef Slot* slots = shard.slots
    cdef Slot new
    cdef uint32_t at, room
    if slots == NULL or shard.used >= (shard.mask + 1) // 4 * 3:
        room = 0 if slots == NULL else shard.mask + 1
        shard.slots = <Slot*>calloc(2 * room if room else 8, sizeof(Slot))
        if shard.slots == NULL:
            shard.slots = slots
            raise MemoryError
        shard.mask = 2 * room - 1 if room else 7
        shard.used = 0
        for at in range(room):
            if slots[at].tag:
                _place(shard, _hash(slots[at].prefix, slots[at].tag), slots[at])
        free(slots)
    new.prefix, new.tag, new.number = prefix, tag, number
    _place(shard, h, new)
    return 0


cdef void _drop(Shard* shard, Slot* slot) noexcept nogil:
    """Empty a slot; those behind it that it kept from their place move up."""
    cdef uint32_t hole = <uint32_t>(slot - shard.slots)
    cdef uint32_t at = hole
    cdef uint32_t home
    while True:
        at = (at + 1) & shard.mask
        if shard.slots[at].tag == 0:
            break
        home = <uint32_t>_hash(shard.slots[at].prefix, shard.slots[at].tag) & shard.mask
        if ((at - home) & shard.mask) >= ((at - hole) & shard.mask):
            shard.slots[hole] = shard.slots[at]
            hole = at
    shard.slots[hole].tag = 0
    shard.used -= 1


cdef inline Part* _part_at(Parts* table, uint64_t prefix) noexcept nogil:
    """That part, or where it is to be."""
    cdef uint32_t at = <uint32_t>_hash(prefix, 0) & table.mask
    while table.parts[at].members and table.parts[at].prefix != prefix:
        at = (at + 1) & table.mask
    return &table.parts[at]


cdef int _grow(Parts* table) except -1:
    cdef Part* old = table.parts
    cdef uint32_t room = 0 if old == NULL else table.mask + 1
    cdef uint32_t at
    table.parts = <Part*>calloc(2 * room if room else 8, sizeof(Part))
    if table.parts == NULL:
        table.parts = old
        raise MemoryError
    table.mask = 2 * room - 1 if room else 7
    for at in range(room):
        if old[at].members:
            _part_at(table, old[at].prefix)[0] = old[at]
    free(old)
    return 0


cdef void _close(Parts* table, Part* part) noexcept nogil:
    """As `_drop`, for a part without members."""
    cdef uint32_t hole = <uint32_t>(part - table.parts)
    cdef uint32_t at = hole
    cdef uint32_t home
    while True:
        at = (at + 1) & table.mask
        if not table.parts[at].members:
            break
        home = <uint32_t>_hash(table.parts[at].prefix, 0) & table.mask
        if ((at - home) & table.mask) >= ((at - hole) & table.mask):
            table.parts[hole] = table.parts[at]
            hole = at
    table.parts[hole].members = 0
    table.used -= 1

/* One producer and one consumer that spin on a ring in shared memory: the limit.
 *
 * A header page with the positions on lines of their own, then the records, mapped twice
 * one behind the other so that none splits. Positions only grow; each side looks at the
 * other's only when what it knows of it is used up. A record is a length of 8 bytes and
 * the payload, rounded up to 64 bytes. Compiled and driven by c_ring.py. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define PAGE 4096
#define LINE 128

struct words {
    _Alignas(LINE) _Atomic uint64_t tail;
    _Alignas(LINE) _Atomic uint64_t head;
};

struct ring {
    struct words *words;
    uint8_t *data;
    uint64_t capacity;
    uint64_t position; /* of this side */
    uint64_t offset;   /* position modulo capacity */
    uint64_t known;    /* of the other side */
};

static double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static uint64_t record_bytes(uint64_t nbytes) { return (nbytes + 8 + 63) & ~63ULL; }

/* The capacity, in bytes, of a ring of `depth` records: whole pages. */
uint64_t ring_capacity(uint64_t nbytes, uint64_t depth) {
    return (record_bytes(nbytes) * depth + PAGE - 1) / PAGE * PAGE;
}

/* Map the memory behind `fd`, which is a page longer than `capacity`. 0: done. */
int ring_open(struct ring *ring, int fd, uint64_t capacity) {
    int access = PROT_READ | PROT_WRITE, shared = MAP_SHARED | MAP_POPULATE;
    ring->words = mmap(NULL, PAGE, access, shared, fd, 0);
    uint8_t *space = mmap(NULL, 2 * capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring->words == MAP_FAILED || space == MAP_FAILED) return -1;
    for (int half = 0; half < 2; half++) {
        uint8_t *at = space + (uint64_t)half * capacity;
        if (mmap(at, capacity, access, shared | MAP_FIXED, fd, PAGE) == MAP_FAILED) return -1;
    }
    ring->data = space;
    ring->capacity = capacity;
    ring->position = ring->offset = ring->known = 0;
    return 0;
}

static void advance(struct ring *ring, uint64_t nbytes) {
    ring->position += nbytes;
    ring->offset += nbytes;
    if (ring->offset >= ring->capacity) ring->offset -= ring->capacity;
}

/* Copy a message in, spinning while there is no room; not yet visible. */
static void push(struct ring *ring, const uint8_t *payload, uint64_t nbytes) {
    uint64_t record = record_bytes(nbytes);
    while (ring->position + record - ring->known > ring->capacity) {
        ring->known = atomic_load_explicit(&ring->words->head, memory_order_acquire);
        if (ring->position + record - ring->known > ring->capacity) __builtin_ia32_pause();
    }
    uint8_t *at = ring->data + ring->offset;
    memcpy(at, &nbytes, 8);
    memcpy(at + 8, payload, nbytes);
    advance(ring, record);
}

static void publish(struct ring *ring) {
    atomic_store_explicit(&ring->words->tail, ring->position, memory_order_release);
}

/* Return the next message where it lies, spinning until there is one. */
static const uint8_t *front(struct ring *ring, uint64_t *nbytes) {
    while (ring->known == ring->position) {
        ring->known = atomic_load_explicit(&ring->words->tail, memory_order_acquire);
        if (ring->known == ring->position) __builtin_ia32_pause();
    }
    const uint8_t *at = ring->data + ring->offset;
    memcpy(nbytes, at, 8);
    return at + 8;
}

static void release(struct ring *ring) {
    atomic_store_explicit(&ring->words->head, ring->position, memory_order_release);
}

void ring_send(struct ring *ring, const uint8_t *payload, uint64_t nbytes) {
    push(ring, payload, nbytes);
    publish(ring);
}

/* Send without end; what was written is shown after every `batch` messages. */
void ring_send_forever(struct ring *ring, const uint8_t *payload, uint64_t nbytes,
                       uint64_t batch) {
    for (;;) {
        for (uint64_t i = 0; i < batch; i++) push(ring, payload, nbytes);
        publish(ring);
    }
}

/* Copy the next message out; return its length. */
uint64_t ring_recv(struct ring *ring, uint8_t *into) {
    uint64_t nbytes;
    const uint8_t *at = front(ring, &nbytes);
    memcpy(into, at, nbytes);
    advance(ring, record_bytes(nbytes));
    release(ring);
    return nbytes;
}

/* Receive for some time; return messages a second. With `into` each is copied out, else
 * its first byte and its last are read where they lie. Room is given back after every
 * `batch` messages. */
double ring_receive(struct ring *ring, uint8_t *into, uint64_t batch, uint64_t chunk,
                    double warm_up, double seconds) {
    double now = seconds_now(), begin = now + warm_up, end = begin + seconds, from = 0;
    uint64_t count = 0, sink = 0;
    for (;;) {
        for (uint64_t i = 1; i <= chunk; i++) {
            uint64_t nbytes;
            const uint8_t *at = front(ring, &nbytes);
            if (into)
                memcpy(into, at, nbytes);
            else
                sink ^= *(const volatile uint8_t *)at ^ *(const volatile uint8_t *)(at + nbytes - 1);
            __asm__ volatile("" : : "r"(into), "r"(sink) : "memory");
            advance(ring, record_bytes(nbytes));
            if (i % batch == 0 || i == chunk) release(ring);
        }
        now = seconds_now();
        if (from == 0) {
            if (now >= begin) from = now;
            continue;
        }
        count += chunk;
        if (now >= end) return (double)count / (now - from);
    }
}

#include "agent/headroom.h"

#include <sys/mman.h>

/* Asked for and given back untouched: the only question that both limits answer. */
static enum kv_code ask(struct kv_err *err)
{
    void *room =
        mmap(NULL, KV_HEADROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "less than %d MiB of memory are left to this program",
                         KV_HEADROOM >> 20);
    }
    (void)munmap(room, KV_HEADROOM); /* it was mapped just now: cannot fail */
    return KV_OK;
}

enum kv_code kv_headroom(struct kv_headroom *turn, struct kv_err *err)
{
    if (!turn->known) {
        turn->known = true;
        turn->said.code = KV_OK;
        (void)ask(&turn->said); /* what it said stays there */
    }
    if (turn->said.code != KV_OK) {
        *err = turn->said;
    }
    return turn->said.code;
}

/* Room for a program to grow. A limit on memory (LimitAS= or LimitDATA= of the unit) is met by
 * saying no to new work while the old can still be ended, as a full disk is: below the reserve what
 * would grow is refused with KV_E_NO_MEMORY; past it an allocation fails and the program starts
 * anew. */
#ifndef KV_AGENT_HEADROOM_H
#define KV_AGENT_HEADROOM_H

#include "core/err.h"

/* More than a turn of the vault, or the answers of the gate's full room, take. */
#define KV_HEADROOM (16 * 1024 * 1024) /* bytes */

/* What the kernel said in this turn of the loop; at its end, known = false. */
struct kv_headroom {
    bool known;
    struct kv_err said;
};

/* Whether this program may grow by KV_HEADROOM. Asks the kernel once in a turn: mapping and
 * unmapping is dear beside a request. Errors: KV_E_NO_MEMORY. */
KV_MUST_USE enum kv_code kv_headroom(struct kv_headroom *turn, struct kv_err *err);

#endif

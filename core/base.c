#include "core/base.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void kv_close_fdp(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* nothing a destructor could do about a failure */
        *fd = -1;
    }
}

void kv_freep(void *p)
{
    void *mem;
    memcpy(&mem, p, sizeof mem);
    free(mem);
}

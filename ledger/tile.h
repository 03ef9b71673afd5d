/* Tiles of the tree (C2SP tlog-tiles) below public/tile: hashes only, no records. They make proofs
 * cheap for others; they are derived, never synced, and written again at start. */
#ifndef KV_LEDGER_TILE_H
#define KV_LEDGER_TILE_H

#include "ledger/tree.h"

#define KV_TILE_PATH_LEN 64 /* with NUL */
#define KV_TILE_WIDTH    256

/* `0/x001/x234/067` or `2/000.p/1`; width 1 to 256, 256 is a full tile. */
void kv_tile_path(unsigned level, uint64_t index, unsigned width,
                  char out[static KV_TILE_PATH_LEN]);
/* Write below `dir_fd` (public/tile) what the tree of `size` has and that of `old` had not; partial
 * tiles of earlier sizes stay until their full one is written. old 0 writes everything.
 * Errors: KV_E_IO; the caller may go on without tiles. */
KV_MUST_USE enum kv_code kv_tiles_write(int dir_fd, const struct kv_tree *tree, uint64_t old,
                                        uint64_t size, struct kv_err *err);

#endif

#include "ledger/tile.h"

#include "ledger/file.h"

#include <stdio.h>

/* Groups of three digits, all but the last with an x: 1234067 is x001/x234/067. */
void kv_tile_path(unsigned level, uint64_t index, unsigned width, char out[static KV_TILE_PATH_LEN])
{
    char groups[7][5];
    size_t count = 0;
    assert(width >= 1 && width <= KV_TILE_WIDTH);
    do {
        int n = snprintf(groups[count], sizeof groups[0], "%s%03u", count == 0 ? "" : "x",
                         (unsigned)(index % 1000));
        assert(n == (count == 0 ? 3 : 4));
        index /= 1000;
        count++;
    } while (index > 0);
    int at = snprintf(out, KV_TILE_PATH_LEN, "%u", level);
    while (count > 0) {
        count--;
        at += snprintf(out + at, KV_TILE_PATH_LEN - (size_t)at, "/%s", groups[count]);
    }
    if (width < KV_TILE_WIDTH) {
        at += snprintf(out + at, KV_TILE_PATH_LEN - (size_t)at, ".p/%u", width);
    }
    assert(at > 0 && at < KV_TILE_PATH_LEN);
}

static enum kv_code write_tile(int dir_fd, const struct kv_tree *tree, unsigned level,
                               uint64_t index, unsigned width, struct kv_err *err)
{
    struct kv_buf tile;
    char path[KV_TILE_PATH_LEN];
    kv_buf_init(&tile, (size_t)KV_TILE_WIDTH * KV_HASH_LEN);
    for (unsigned i = 0; i < width; i++) {
        struct kv_hash hash = kv_tree_node(tree, 8 * level, index * KV_TILE_WIDTH + i);
        kv_buf_add(&tile, hash.b, KV_HASH_LEN);
    }
    kv_tile_path(level, index, width, path);
    enum kv_code code = tile.failed ? KV_REFUSE(err, KV_E_IO, "no memory for a tile")
                                    : kv_file_put(dir_fd, path, kv_buf_bytes(&tile), 0644, err);
    kv_buf_clear(&tile);
    return code;
}

enum kv_code kv_tiles_write(int dir_fd, const struct kv_tree *tree, uint64_t old, uint64_t size,
                            struct kv_err *err)
{
    assert(old <= size && size <= kv_tree_size(tree));
    for (unsigned level = 0; size >> (8 * level) > 0 && level < 6; level++) {
        uint64_t count = size >> (8 * level);
        uint64_t had = old >> (8 * level);
        if (count == had) {
            break; /* nothing new above either */
        }
        for (uint64_t index = had / KV_TILE_WIDTH; index <= count / KV_TILE_WIDTH; index++) {
            uint64_t left = count - index * KV_TILE_WIDTH;
            unsigned width = left < KV_TILE_WIDTH ? (unsigned)left : KV_TILE_WIDTH;
            enum kv_code code =
                width == 0 ? KV_OK : write_tile(dir_fd, tree, level, index, width, err);
            if (code != KV_OK) {
                return code;
            }
        }
    }
    return KV_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * A QEMU TCG plugin that writes down which of the guest's code was about to run: for each block that QEMU translates, the
 * addresses where it begins and ends, as two numbers of 64 bits. It costs nothing where a block runs again.
 *
 *   qemu-system-aarch64 ... -plugin file=coverage.so,out=FILE
 *
 * Everything of QEMU that it uses is declared here, and is the same in the plugin API 1 (QEMU 6.2) to 7 (QEMU 11.1).
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define SEEN (1 << 20)

struct qemu_plugin_tb;
struct qemu_plugin_insn;

uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*translated)(uint64_t, struct qemu_plugin_tb *));

EXPORT int qemu_plugin_version = 1;

static int out = -1;
static uint64_t seen[SEEN];

__attribute__((constructor)) static void tell_version(void)
{
    const char *told = getenv("BAREBOX_HAZARDS_API");

    if (told)
        qemu_plugin_version = atoi(told);
}

static void translated(uint64_t id, struct qemu_plugin_tb *tb)
{
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, qemu_plugin_tb_n_insns(tb) - 1);
    uint64_t block[2] = { qemu_plugin_tb_vaddr(tb), qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) };
    uint64_t key = block[0] * 4096 + (block[1] - block[0]);
    uint64_t *slot = &seen[(key * 0x9E3779B97F4A7C15ull) >> 44];

    (void)id;
    if (*slot == key)
        return;
    *slot = key;
    if (write(out, block, sizeof(block)) != sizeof(block))
        abort();
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = open(argv[i] + 4, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (out < 0)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}

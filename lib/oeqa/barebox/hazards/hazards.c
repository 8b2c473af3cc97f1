/* SPDX-License-Identifier: MIT */
/*
 * A QEMU TCG plugin that writes down what KVM would have to emulate: every instruction of the guest that touched
 * memory-mapped I/O. It judges nothing; what KVM can do with an instruction is told by the decoders in Python beside
 * this file. hazards.md tells what is covered.
 *
 *   qemu-system-aarch64 ... -plugin file=hazards.so,out=FILE[,plain=MASK.VALUE[:MASK.VALUE]...]
 *
 * FILE gets one JSON object a line, when QEMU ends: first a header, then a line for each
 *   - instruction and memory region that it touched: {"pc", "code", "region", "store", "size", "aligned", "address",
 *     "count"}
 *   - arm64 instruction with the stack pointer as base: {"pc", "code", "offsets"}, a mask of (address % 16) where its
 *     accesses began, unless all of them were aligned to 16 bytes
 *   - arm64 DC IVAC or DC ZVA and range of pages that it was used on: {"pc", "code", "low", "high", "count"}
 * and last {"end": true}, without which the file is not whole. "order" counts instructions as they were first met.
 *
 * plain= names, in hexadecimal, the first four bytes of instructions that KVM emulates wherever they point to, as long
 * as the address is a multiple of the size. Each of them is looked at LOOKS times, so that the report shows which
 * devices were used, and is not worth more time.
 *
 * It works with the plugin API 1 (QEMU 6.2 to 8.2) to 7 (QEMU 11.1) as one binary: what changed between them is chosen
 * at run time, and what a QEMU lacks is a weak symbol. Everything of QEMU and GLib that it uses is declared here.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define WEAK __attribute__((weak))

/* QEMU's interface, in the words of docs/devel/tcg-plugins */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_hwaddr;
struct qemu_plugin_register;

struct qemu_info {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
};

/* The head of a register's description; later versions have more behind it. */
struct register_description {
    struct qemu_plugin_register *handle;
    const char *name;
};

struct garray {
    char *data;
    unsigned len;
};

enum { NO_REGISTERS, READS_REGISTERS };
enum { READS_AND_WRITES = 3 };

typedef void (*access_cb)(unsigned vcpu, uint32_t info, uint64_t vaddr, void *user);
typedef void (*execute_cb)(unsigned vcpu, void *user);

/* Of these the callback's own arguments changed with version 7. */
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void *, void *);
void qemu_plugin_register_vcpu_init_cb(plugin_id, void *, void *);
void qemu_plugin_register_atexit_cb(plugin_id, void *, void *);

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
/* Up to version 2 it takes the instruction alone and returns its bytes. */
void *qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
void qemu_plugin_register_vcpu_mem_cb(struct qemu_plugin_insn *, access_cb, int flags, int which, void *user);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, execute_cb, int flags, void *user);

unsigned qemu_plugin_mem_size_shift(uint32_t info);
bool qemu_plugin_mem_is_store(uint32_t info);
struct qemu_plugin_hwaddr *qemu_plugin_get_hwaddr(uint32_t info, uint64_t vaddr);
bool qemu_plugin_hwaddr_is_io(const struct qemu_plugin_hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const struct qemu_plugin_hwaddr *);
const char *qemu_plugin_hwaddr_device_name(const struct qemu_plugin_hwaddr *);

/* Version 2. The result of the reading is an int up to version 5 and a bool from then on: it is not looked at. */
WEAK struct garray *qemu_plugin_get_registers(void);
WEAK void qemu_plugin_read_register(struct qemu_plugin_register *, struct garray *);
/* Version 5 */
WEAK bool qemu_plugin_translate_vaddr(uint64_t vaddr, uint64_t *hwaddr);
/* Version 6; it is not called. */
WEAK void qemu_plugin_set_pc(uint64_t);

WEAK unsigned g_array_get_element_size(struct garray *);
WEAK struct garray *g_byte_array_new(void);
WEAK struct garray *g_byte_array_set_size(struct garray *, unsigned);

/* What was seen */

enum { CODE_LIMIT = 16, BUCKETS = 1 << 14, PAGE = 4096, LOOKS = 200, PLAIN_LIMIT = 32 };

struct access {
    struct access *next;
    const char *region;
    uint64_t address;
    uint64_t count;
    unsigned size;
    bool store;
    bool aligned;
};

struct range {
    struct range *next;
    uint64_t low;
    uint64_t high;
    uint64_t count;
};

struct instruction {
    struct instruction *next;
    struct access *accesses;
    struct range *ranges;
    uint64_t pc;
    uint64_t order;
    uint64_t next_piece;
    unsigned pieces;
    unsigned pieces_left;
    uint32_t offsets;
    uint32_t looks;
    uint32_t plain_size;
    bool is_plain;
    bool base_is_sp;
    uint8_t size;
    uint8_t code[CODE_LIMIT];
};

EXPORT int qemu_plugin_version = 1;

static int api;
static bool is_arm64;
static FILE *out;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct instruction *instructions[BUCKETS];
static uint64_t instruction_count;
static struct qemu_plugin_register *x_registers[31];
static struct garray *register_value;
static unsigned plain_count;
static struct {
    uint32_t mask;
    uint32_t value;
} plain[PLAIN_LIMIT];

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory) {
        fputs("hazards: out of memory\n", stderr);
        abort();
    }
    return memory;
}

/*
 * QEMU reads the version right after loading and accepts those from its oldest to its own one: 0 to 1 up to QEMU 8.2,
 * 2 to 5 from QEMU 9.0 on, 7 alone in QEMU 11.1. Which one it is can be seen from what it has. QEMU 11.0 (version 6)
 * looks like 11.1: there the environment tells.
 */
__attribute__((constructor)) static void tell_version(void)
{
    const char *told = getenv("BAREBOX_HAZARDS_API");

    if (told)
        qemu_plugin_version = atoi(told);
    else if (qemu_plugin_set_pc)
        qemu_plugin_version = 7;
    else if (qemu_plugin_get_registers)
        qemu_plugin_version = 2;
}

/* Accesses to memory */

static void note_io(struct instruction *insn, const struct qemu_plugin_hwaddr *where, uint32_t info)
{
    const char *region = qemu_plugin_hwaddr_device_name(where);
    uint64_t address = qemu_plugin_hwaddr_phys_addr(where);
    unsigned size = 1u << qemu_plugin_mem_size_shift(info);
    bool aligned = !(address & (size - 1)), store = qemu_plugin_mem_is_store(info);
    struct access *access;

    pthread_mutex_lock(&lock);
    for (access = insn->accesses; access; access = access->next)
        if (access->region == region && access->store == store && access->aligned == aligned)
            break;
    if (!access) {
        access = allocate(sizeof(*access));
        *access = (struct access){
            .next = insn->accesses,
            .region = region,
            .address = address,
            .size = size,
            .store = store,
            .aligned = aligned,
        };
        insn->accesses = access;
    }
    access->count++;
    pthread_mutex_unlock(&lock);
}

/* An instruction may be reported as several accesses in a row; where they begin is what tells the stack pointer. */
static void note_stack(struct instruction *insn, uint64_t vaddr, uint32_t info)
{
    unsigned size = 1u << qemu_plugin_mem_size_shift(info);

    if (insn->pieces_left && insn->next_piece == vaddr) {
        insn->pieces_left--;
        insn->next_piece += size;
        return;
    }
    insn->pieces_left = insn->pieces - 1;
    insn->next_piece = vaddr + size;
    insn->offsets |= 1u << (vaddr & 15);
}

static void on_access(unsigned vcpu, uint32_t info, uint64_t vaddr, void *user)
{
    struct instruction *insn = user;
    struct qemu_plugin_hwaddr *where;

    (void)vcpu;
    if (insn->base_is_sp)
        note_stack(insn, vaddr, info);
    if (insn->is_plain && insn->looks >= LOOKS && !(vaddr & (insn->plain_size - 1)))
        return;
    insn->looks++;
    insn->plain_size = 1u << qemu_plugin_mem_size_shift(info);
    where = qemu_plugin_get_hwaddr(info, vaddr);
    if (where && qemu_plugin_hwaddr_is_io(where))
        note_io(insn, where, info);
}

/* Maintenance of caches by address, which is no access to memory for QEMU */

static bool read_x(unsigned number, uint64_t *value)
{
    if (number == 31) {
        *value = 0;
        return true;
    }
    if (!x_registers[number])
        return false;
    g_byte_array_set_size(register_value, 0);
    qemu_plugin_read_register(x_registers[number], register_value);
    if (register_value->len != sizeof(*value))
        return false;
    memcpy(value, register_value->data, sizeof(*value));
    return true;
}

static void note_range(struct instruction *insn, uint64_t address)
{
    uint64_t page = address & ~(uint64_t)(PAGE - 1);
    struct range *range;

    for (range = insn->ranges; range; range = range->next)
        if (range->low <= page && page <= range->high)
            break;
    if (!range) {
        range = allocate(sizeof(*range));
        *range = (struct range){.next = insn->ranges, .low = page, .high = page};
        insn->ranges = range;
    }
    if (range->high == page)
        range->high = page + PAGE;
    range->count++;
}

static void on_maintenance(unsigned vcpu, void *user)
{
    struct instruction *insn = user;
    uint64_t address;

    (void)vcpu;
    pthread_mutex_lock(&lock);
    if (read_x(insn->code[0] & 31, &address)) {
        if (qemu_plugin_translate_vaddr)
            qemu_plugin_translate_vaddr(address, &address);
        note_range(insn, address);
    }
    pthread_mutex_unlock(&lock);
}

static void find_registers(void)
{
    struct garray *all = qemu_plugin_get_registers();
    unsigned i, size = g_array_get_element_size(all), number;
    const struct register_description *found;
    char end;

    for (i = 0; i < all->len; i++) {
        found = (const void *)(all->data + (size_t)i * size);
        if (sscanf(found->name, "x%u%c", &number, &end) == 1 && number < 31)
            x_registers[number] = found->handle;
    }
    register_value = g_byte_array_new();
}

static void on_vcpu(void)
{
    pthread_mutex_lock(&lock);
    if (!register_value)
        find_registers();
    pthread_mutex_unlock(&lock);
}

/* Translation */

static uint32_t word(const struct instruction *insn)
{
    uint32_t value;

    memcpy(&value, insn->code, sizeof(value));
    return value;
}

/* arm64: op0 of loads and stores, SME and SVE in the ARM ARM's table "Main encoding table for the A64 instruction set" */
static bool loads_or_stores(uint32_t code)
{
    uint32_t op0 = code >> 25 & 15;

    return (op0 & 5) == 4 || op0 == 0 || op0 == 2;
}

/* arm64: how many accesses a load or store may be reported as: of a SIMD register, of a pair or exclusive, of others */
static unsigned pieces(uint32_t code)
{
    uint32_t group = code >> 27 & 7;

    if (code >> 26 & 1)
        return 16;
    return group == 5 || group == 1 ? 2 : 1;
}

static bool matches_plain(uint32_t code)
{
    unsigned i;

    for (i = 0; i < plain_count; i++)
        if ((code & plain[i].mask) == plain[i].value)
            return true;
    return false;
}

/* arm64: DC IVAC, Xt and DC ZVA, Xt */
static bool maintains(uint32_t code)
{
    return (code & ~31u) == 0xd5087620 || (code & ~31u) == 0xd50b7420;
}

static void read_code(const struct qemu_plugin_insn *from, struct instruction *to)
{
    size_t size = qemu_plugin_insn_size(from);

    to->size = size < CODE_LIMIT ? size : CODE_LIMIT;
    if (api < 3)
        memcpy(to->code, qemu_plugin_insn_data(from, NULL, 0), to->size);
    else
        qemu_plugin_insn_data(from, to->code, to->size);
}

/* The record of an instruction, the same one each time that it is translated */
static struct instruction *record(const struct instruction *wanted)
{
    struct instruction **bucket = &instructions[(wanted->pc ^ wanted->pc >> 15) % BUCKETS];
    struct instruction *found;

    pthread_mutex_lock(&lock);
    for (found = *bucket; found; found = found->next)
        if (found->pc == wanted->pc && found->size == wanted->size && !memcmp(found->code, wanted->code, CODE_LIMIT))
            break;
    if (!found) {
        found = allocate(sizeof(*found));
        *found = *wanted;
        found->order = instruction_count++;
        found->next = *bucket;
        *bucket = found;
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static void watch(struct qemu_plugin_insn *insn)
{
    struct instruction wanted = {.pc = qemu_plugin_insn_vaddr(insn)};
    uint32_t code;

    read_code(insn, &wanted);
    code = word(&wanted);
    if (is_arm64 && maintains(code)) {
        if (qemu_plugin_get_registers)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, on_maintenance, READS_REGISTERS, record(&wanted));
        return;
    }
    if (is_arm64 && !loads_or_stores(code))
        return;
    wanted.is_plain = matches_plain(code);
    wanted.base_is_sp = is_arm64 && (code >> 5 & 31) == 31;
    wanted.pieces = pieces(code);
    qemu_plugin_register_vcpu_mem_cb(insn, on_access, NO_REGISTERS, READS_AND_WRITES, record(&wanted));
}

static void on_translation(const struct qemu_plugin_tb *block)
{
    size_t i, count = qemu_plugin_tb_n_insns(block);

    for (i = 0; i < count; i++)
        watch(qemu_plugin_tb_get_insn(block, i));
}

static void on_translation_1(plugin_id id, struct qemu_plugin_tb *block)
{
    (void)id;
    on_translation(block);
}

static void on_translation_7(struct qemu_plugin_tb *block, void *user)
{
    (void)user;
    on_translation(block);
}

/* The report */

static void write_start(const struct instruction *insn)
{
    unsigned i;

    fprintf(out, "{\"pc\": %llu, \"order\": %llu, \"code\": \"", (unsigned long long)insn->pc,
            (unsigned long long)insn->order);
    for (i = 0; i < insn->size; i++)
        fprintf(out, "%02x", insn->code[i]);
    fputc('"', out);
}

static void write_text(const char *text)
{
    for (; *text; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < ' ')
            fprintf(out, "\\u%04x", (unsigned char)*text);
        else
            fputc(*text, out);
}

static void write_access(const struct instruction *insn, const struct access *access)
{
    write_start(insn);
    fputs(", \"region\": \"", out);
    write_text(access->region);
    fprintf(out, "\", \"store\": %s, \"size\": %u, \"aligned\": %s, \"address\": %llu, \"count\": %llu}\n",
            access->store ? "true" : "false", access->size, access->aligned ? "true" : "false",
            (unsigned long long)access->address, (unsigned long long)access->count);
}

static void write_range(const struct instruction *insn, const struct range *range)
{
    write_start(insn);
    fprintf(out, ", \"low\": %llu, \"high\": %llu, \"count\": %llu}\n", (unsigned long long)range->low,
            (unsigned long long)range->high, (unsigned long long)range->count);
}

static void write_instruction(const struct instruction *insn)
{
    const struct access *access;
    const struct range *range;

    for (access = insn->accesses; access; access = access->next)
        write_access(insn, access);
    for (range = insn->ranges; range; range = range->next)
        write_range(insn, range);
    if (insn->offsets & ~1u) {
        write_start(insn);
        fprintf(out, ", \"offsets\": %u}\n", insn->offsets);
    }
}

/* Also registered as what is called at the end, whose arguments differ between versions: it takes none. */
static void write_all(void)
{
    const struct instruction *insn;
    unsigned i;

    pthread_mutex_lock(&lock);
    for (i = 0; i < BUCKETS; i++)
        for (insn = instructions[i]; insn; insn = insn->next)
            write_instruction(insn);
    fputs("{\"end\": true}\n", out);
    if (fclose(out))
        fprintf(stderr, "hazards: the report is not whole: %s\n", strerror(errno));
    pthread_mutex_unlock(&lock);
}

static const char *argument(int argc, char **argv, const char *name)
{
    size_t length = strlen(name);
    int i;

    for (i = 0; i < argc; i++)
        if (!strncmp(argv[i], name, length) && argv[i][length] == '=')
            return argv[i] + length + 1;
    return NULL;
}

static void read_plain(const char *text)
{
    int length;

    while (plain_count < PLAIN_LIMIT &&
           sscanf(text, "%" SCNx32 ".%" SCNx32 "%n", &plain[plain_count].mask, &plain[plain_count].value, &length) == 2) {
        plain_count++;
        text += length;
        text += *text == ':';
    }
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    const char *path = argument(argc, argv, "out"), *patterns = argument(argc, argv, "plain");

    api = info->version.cur;
    is_arm64 = !strcmp(info->target_name, "aarch64");
    if (!path || !info->system_emulation) {
        fputs("hazards: out=FILE is needed, and a QEMU that emulates a whole machine\n", stderr);
        return -1;
    }
    if (patterns)
        read_plain(patterns);
    out = fopen(path, "we");
    if (!out) {
        fprintf(stderr, "hazards: %s: %s\n", path, strerror(errno));
        return -1;
    }
    fprintf(out, "{\"api\": %d, \"target\": \"%s\", \"registers\": %s}\n", api, info->target_name,
            qemu_plugin_get_registers ? "true" : "false");
    fflush(out);
    if (is_arm64 && qemu_plugin_get_registers)
        qemu_plugin_register_vcpu_init_cb(id, (void *)on_vcpu, NULL);
    qemu_plugin_register_vcpu_tb_trans_cb(id, api < 7 ? (void *)on_translation_1 : (void *)on_translation_7, NULL);
    qemu_plugin_register_atexit_cb(id, (void *)write_all, NULL);
    return 0;
}

/*
 * The platform of a Cortex-M board: start, semihosting, SysTick as a clock, a painted stack.
 *
 * QEMU's `-icount shift=0` lets one nanosecond pass with each instruction, so SysTick, which
 * counts the processor's clock, counts instructions in steps of 1000 / CLOCK_MHZ.
 */
#include "platform.h"

#include <string.h>

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };
enum { SYSTICK_STEPS = 1 << 24 };
enum { CONTROL_ENABLE = 1, CONTROL_INTERRUPT = 2, CONTROL_PROCESSOR_CLOCK = 4 };

#define SYSTICK_CONTROL (*(volatile uint32_t *)0xe000e010)
#define SYSTICK_RELOAD (*(volatile uint32_t *)0xe000e014)
#define SYSTICK_VALUE (*(volatile uint32_t *)0xe000e018)
#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xe000ed88)

static const uint32_t PAINT = 0xa5c3a5c3u;

/* From the linker script. */
extern uint32_t stack_bottom[], stack_top[];
extern uint8_t data_start[], data_end[], data_in_flash[], bss_start[], bss_end[];

static volatile uint32_t systick_rounds;

int main(void);
void on_reset(void);
void on_fault(void);
void on_systick(void);
void zsseg_on_panic(uint32_t line);

static void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt #0xab" : "+r"(r0) : "r"(r1) : "memory");
}

_Noreturn static void stop(uint32_t status)
{
    const uint32_t reason[2] = {APPLICATION_EXIT, status};
    semihosting(SYS_EXIT_EXTENDED, reason);
    for (;;) {
    }
}

void platform_write(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

void on_systick(void)
{
    systick_rounds += 1;
}

uint64_t platform_instructions(void)
{
    uint32_t rounds, value;
    uint64_t steps;
    do {
        rounds = systick_rounds;
        value = SYSTICK_VALUE;
    } while (rounds != systick_rounds);
    steps = (uint64_t)rounds * SYSTICK_STEPS + (SYSTICK_STEPS - 1 - value);
    return steps * 1000 / CLOCK_MHZ;
}

static void start_systick(void)
{
    SYSTICK_RELOAD = SYSTICK_STEPS - 1;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = CONTROL_ENABLE | CONTROL_INTERRUPT | CONTROL_PROCESSOR_CLOCK;
}

uint64_t platform_counted_loop(void)
{
    const uint64_t start = platform_instructions();
    uint32_t rounds = 1000000;
    __asm__ volatile("0: subs %0, %0, #1\n bne 0b" : "+r"(rounds) : : "cc");
    return platform_instructions() - start;
}

/* Below what is in use now; a few words are left for the function's own frame. */
void platform_paint_stack(void)
{
    uint32_t here = 0;
    uint32_t *word;
    uint32_t *const end = (uint32_t *)((uintptr_t)&here - 64);
    for (word = stack_bottom; word < end; word++) {
        *word = PAINT;
    }
}

size_t platform_stack_bytes(void)
{
    const uint32_t *word = stack_bottom;
    while (word < stack_top && *word == PAINT) {
        word++;
    }
    return (size_t)((uintptr_t)stack_top - (uintptr_t)word);
}

size_t platform_ram_bytes(void)
{
    return (size_t)((uintptr_t)bss_end - (uintptr_t)stack_bottom);
}

void on_reset(void)
{
    COPROCESSOR_ACCESS |= 0xfu << 20; /* the floating-point unit */
    __asm__ volatile("dsb\n isb");
    memcpy(data_start, data_in_flash, (size_t)(data_end - data_start));
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    start_systick();
    stop((uint32_t)main());
}

void on_fault(void)
{
    platform_write("fault\n");
    stop(2);
}

/* The library has no panic in it, so this never runs; without `std` it must be there. */
void zsseg_on_panic(uint32_t line)
{
    (void)line;
    platform_write("panic\n");
    stop(3);
}

typedef void (*handler_t)(void);

/* The first word is the stack's top, which the linker script puts in front. */
__attribute__((section(".vectors"), used)) static const handler_t handlers[15] = {
    on_reset, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_fault,
    on_fault, on_fault, on_fault, on_fault, on_fault, on_fault, on_systick,
};

//! A 1 kHz control task beside a frame that is segmented in slices, on an mps2-an386 (Cortex-M4).
//!
//! | priority | task | |
//! |---|---|---|
//! | 3 | `control` | every millisecond, by a timer; over 100 us after it is due |
//! | 1 | `segment` | slices of a frame; between two of them others of its priority run |
//! | 1 | `watch` | stands for them: notes how long it had to wait |
#![no_std]
#![no_main]

mod control;
mod mps2;
mod vision;

use core::future::poll_fn;
use core::task::Poll;
use cortex_m_rt as _;
use cortex_m_semihosting::{debug, hprintln};

/// Where the library's panic handler leads to.
#[unsafe(no_mangle)]
extern "C" fn zsseg_on_panic(line: u32) -> ! {
    hprintln!("panic in line {}", line);
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}

/// Lets the other tasks of the same priority run.
async fn give_way() {
    let mut gave_way = false;
    poll_fn(|context| {
        if gave_way {
            return Poll::Ready(());
        }
        gave_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[rtic::app(device = crate::mps2, dispatchers = [UARTRX0])]
mod app {
    use crate::control::{Controller, DEADLINE_TICKS, PERIOD_TICKS, Trace};
    use crate::give_way;
    use crate::mps2::{CLOCK, CONTROL, TICKS_PER_US};
    use crate::vision::{self, ARENA, Arena, PIXELS, WIDTH};
    use cortex_m_semihosting::{debug, hprintln};
    use zsseg::head::Output;
    use zsseg::segmenter::{Frame, Segmenter};
    use zsseg::status::Result;

    /// Pieces of a slice. One is a row of the picture or some rows of a layer.
    const SLICE_PIECES: u32 = if cfg!(feature = "uninterrupted") { u32::MAX } else { 1 };

    #[shared]
    struct Shared {
        road_percent: u32,
        trace: Trace,
        watch: Watch,
    }

    #[local]
    struct Local {
        controller: Controller,
        segmenter: Segmenter<'static>,
        labels: &'static mut [u8; PIXELS],
    }

    /// What the waiting task saw.
    pub struct Watch {
        runs: u32,
        longest_wait_ticks: u32,
    }

    #[init(local = [arena: Arena = ARENA, mask: [u8; PIXELS] = [0; PIXELS]])]
    fn init(cx: init::Context) -> (Shared, Local) {
        let segmenter = match vision::segmenter(cx.local.arena) {
            Ok(segmenter) => segmenter,
            Err(error) => panic!("init: {}", error.status()),
        };
        CLOCK.start_clock();
        CONTROL.start_interrupts(PERIOD_TICKS);
        let trace = Trace::new(CLOCK.ticks());
        let spawned = segment::spawn().is_ok() && watch::spawn().is_ok();
        assert!(spawned, "a task runs already");
        let watch = Watch { runs: 0, longest_wait_ticks: 0 };
        let controller = Controller::new();
        (
            Shared { road_percent: 0, trace, watch },
            Local { controller, segmenter, labels: cx.local.mask },
        )
    }

    #[task(binds = TIMER0, priority = 3, shared = [road_percent, trace], local = [controller])]
    fn control(cx: control::Context) {
        let began = CLOCK.ticks();
        CONTROL.clear_interrupt();
        (cx.shared.road_percent, cx.shared.trace).lock(|road_percent, trace| {
            cx.local.controller.step(*road_percent);
            trace.note(began, CLOCK.ticks());
        });
    }

    #[task(priority = 1, shared = [road_percent, trace, watch], local = [segmenter, labels])]
    async fn segment(mut cx: segment::Context) {
        let mut slices = Slices { count: 0, longest_ticks: 0 };
        let labels: &mut [u8; PIXELS] = cx.local.labels;
        if let Err(error) = frame(cx.local.segmenter, labels, &mut slices).await {
            panic!("frame: {}", error.status());
        }
        let percent = vision::road_percent(labels);
        cx.shared.road_percent.lock(|road_percent| *road_percent = percent);
        CONTROL.stop();
        cx.shared.trace.lock(|trace| report(trace));
        hprintln!("slices {}", slices.count);
        hprintln!("longest-slice-us {}", slices.longest_ticks / TICKS_PER_US);
        cx.shared.watch.lock(|watch| {
            hprintln!("watch-runs {}", watch.runs);
            hprintln!("watch-longest-wait-us {}", watch.longest_wait_ticks / TICKS_PER_US);
        });
        hprintln!("road-percent {}", percent);
        hprintln!("mask-crc32 {}", vision::crc32(labels));
        debug::exit(debug::EXIT_SUCCESS);
    }

    /// How the frame was divided.
    struct Slices {
        count: u32,
        longest_ticks: u32,
    }

    /// Segments the picture, slice by slice.
    async fn frame(
        segmenter: &mut Segmenter<'static>,
        labels: &mut [u8; PIXELS],
        slices: &mut Slices,
    ) -> Result<()> {
        let image = vision::picture()?;
        let frame = Frame::of(&image);
        let mut output = Output::labels_u8(labels, WIDTH);
        segmenter.begin(&frame, &output)?;
        loop {
            let began = CLOCK.ticks();
            let done = slice(|| segmenter.step(&frame, &mut output, SLICE_PIECES))?;
            slices.count += 1;
            slices.longest_ticks = slices.longest_ticks.max(CLOCK.ticks().wrapping_sub(began));
            if done {
                return Ok(());
            }
            give_way().await;
        }
    }

    #[cfg(not(feature = "uninterrupted"))]
    fn slice(step: impl FnOnce() -> Result<bool>) -> Result<bool> {
        step()
    }

    #[cfg(feature = "uninterrupted")]
    fn slice(step: impl FnOnce() -> Result<bool>) -> Result<bool> {
        cortex_m::interrupt::free(|_| step())
    }

    /// Prints every run of the control task, in ticks of the clock after it was due.
    fn report(trace: &Trace) {
        let (mut worst, mut missed) = (0, 0);
        for (index, run) in trace.runs().iter().enumerate() {
            hprintln!("control {} began {} ended {}", index, run.began, run.ended);
            worst = worst.max(run.ended);
            missed += u32::from(u32::from(run.ended) > DEADLINE_TICKS);
        }
        hprintln!("ticks-per-us {}", TICKS_PER_US);
        hprintln!("control-runs {}", trace.runs().len());
        hprintln!("worst-end-ticks {}", worst);
        hprintln!("missed {}", missed);
        hprintln!("frame-us {}", CLOCK.ticks() / TICKS_PER_US);
    }

    #[task(priority = 1, shared = [watch])]
    async fn watch(mut cx: watch::Context) {
        let mut last = CLOCK.ticks();
        loop {
            give_way().await;
            let now = CLOCK.ticks();
            cx.shared.watch.lock(|watch| {
                watch.runs += 1;
                watch.longest_wait_ticks = watch.longest_wait_ticks.max(now.wrapping_sub(last));
            });
            last = now;
        }
    }
}

//! Compiling sources for a device with NVRTC. Needs no driver and no GPU.

use super::backend::Define;
use super::guard::{DeviceError, caught};
use super::sources::{HEADERS, Source};
use cudarc::nvrtc::sys;
use std::borrow::ToOwned;
use std::ffi::{CStr, CString, c_char, c_int};
use std::format;
use std::ptr::null;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

/// What a kernel needs, as the assembler reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resources {
    /// The kernel.
    pub kernel: String,
    /// Registers of a thread.
    pub registers: u32,
    /// Bytes that registers were spilled to, stores and loads together.
    pub spilled_bytes: u32,
    /// Bytes of a thread's stack.
    pub stack_bytes: u32,
    /// Bytes of static shared memory.
    pub shared_bytes: u32,
}

/// What came of a source.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// Machine code (a cubin), or PTX for a device that the compiler does not know.
    pub image: Vec<u8>,
    /// Whether it is PTX.
    pub is_ptx: bool,
    /// The compiler's and the assembler's words.
    pub log: String,
}

impl Compiled {
    /// What each kernel needs. Empty for PTX, which has not been through the assembler.
    pub fn resources(&self) -> Vec<Resources> {
        let mut found: Vec<Resources> = Vec::new();
        for line in self.log.lines() {
            if let Some(kernel) = between(line, "Compiling entry function '", "'") {
                found.push(Resources {
                    kernel: kernel.to_owned(),
                    registers: 0,
                    spilled_bytes: 0,
                    stack_bytes: 0,
                    shared_bytes: 0,
                });
            }
            let Some(last) = found.last_mut() else { continue };
            if line.contains("bytes stack frame") {
                last.stack_bytes = number_before(line, " bytes stack frame").unwrap_or(u32::MAX);
                let spills = [" bytes spill stores", " bytes spill loads"];
                let spills = spills.map(|word| number_before(line, word).unwrap_or(u32::MAX));
                last.spilled_bytes = spills.iter().fold(0, |sum, part| sum.saturating_add(*part));
            }
            if line.contains("Used ") {
                last.registers = number_before(line, " registers").unwrap_or(0);
                last.shared_bytes = number_before(line, " bytes smem").unwrap_or(0);
            }
        }
        found
    }
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

fn number_before(line: &str, word: &str) -> Option<u32> {
    let before = line.split_once(word)?.0;
    let start = before.rfind(|letter: char| !letter.is_ascii_digit()).map_or(0, |place| place + 1);
    before.get(start..)?.parse().ok()
}

/// The compiler for a kind of device.
#[derive(Clone, Debug)]
pub struct Compiler {
    version: [i32; 2],
    /// The option that names the device, such as `sm_90`, or `compute_90` for PTX.
    target: String,
}

impl Compiler {
    /// For devices of a compute capability, such as `[9, 0]`. For one that the compiler does not
    /// know yet it makes PTX of the newest that it knows.
    ///
    /// # Errors
    /// [`DeviceError::NoCompiler`] where NVRTC is missing, [`DeviceError::Broken`] where it does
    /// not answer.
    pub fn new(capability: [i32; 2]) -> Result<Compiler, DeviceError> {
        // SAFETY: looks for a library; those of that name run no code that could do harm.
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::NoCompiler);
        }
        caught("NVRTC", || {
            let version = version()?;
            let wanted = capability[0] * 10 + capability[1];
            let known = architectures()?;
            let newest = known.iter().copied().max().unwrap_or(0);
            let target = match known.contains(&wanted) {
                true => format!("sm_{wanted}"),
                false => format!("compute_{newest}"),
            };
            Ok(Compiler { version, target })
        })
    }

    /// Major and minor version of NVRTC.
    pub fn version(&self) -> [i32; 2] {
        self.version
    }

    /// What sources are compiled for: `sm_90`, say.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The options of a source.
    pub(super) fn options(&self, source: &Source, defines: &[Define]) -> Vec<String> {
        let mut options = vec![
            format!("--gpu-architecture={}", self.target),
            "--std=c++17".to_string(),
            format!("--fmad={}", source.is_fused),
            "--ptxas-options=-v".to_string(),
        ];
        options
            .extend(defines.iter().map(|(name, value)| format!("--define-macro={name}={value}")));
        options
    }

    /// Compiles a source.
    ///
    /// # Errors
    /// [`DeviceError::Compile`] with the compiler's words.
    pub fn compile(&self, source: &Source, defines: &[Define]) -> Result<Compiled, DeviceError> {
        let options = self.options(source, defines);
        let what = format!("{} with {}", source.name, options.join(" "));
        let wrong = |log: String| DeviceError::Compile { what: what.clone(), log };
        let is_ptx = self.target.starts_with("compute_");
        caught("NVRTC", || {
            let program = Program::new(source)?;
            let done = program.compile(&options)?;
            let log = program.log();
            if !done {
                return Err(wrong(log));
            }
            let image = program.image(is_ptx)?;
            Ok(Compiled { image, is_ptx, log })
        })
    }
}

fn check(what: &'static str, result: sys::nvrtcResult) -> Result<(), DeviceError> {
    result.result().map_err(|error| DeviceError::broken(what)(&error))
}

fn version() -> Result<[i32; 2], DeviceError> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both places are there.
    check("nvrtcVersion", unsafe { sys::nvrtcVersion(&mut major, &mut minor) })?;
    Ok([major, minor])
}

fn architectures() -> Result<Vec<c_int>, DeviceError> {
    let mut count = 0;
    // SAFETY: the place is there.
    check("nvrtcGetNumSupportedArchs", unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) })?;
    let mut list = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: there is room for as many as NVRTC said.
    let result = unsafe { sys::nvrtcGetSupportedArchs(list.as_mut_ptr()) };
    check("nvrtcGetSupportedArchs", result)?;
    Ok(list)
}

fn text(text: &str) -> Result<CString, DeviceError> {
    CString::new(text).map_err(|error| DeviceError::broken("text of a kernel")(&error))
}

/// A program of NVRTC, with the texts that it points to.
struct Program {
    program: sys::nvrtcProgram,
    _texts: Vec<CString>,
}

impl Program {
    fn new(source: &Source) -> Result<Program, DeviceError> {
        let mut texts = vec![text(source.text)?, text(source.name)?];
        for (name, contents) in HEADERS {
            texts.extend([text(contents)?, text(name)?]);
        }
        let pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
        let every_other = |first: usize| -> Vec<*const c_char> {
            pointers.iter().skip(first).step_by(2).copied().collect()
        };
        let (contents, names) = (every_other(0), every_other(1));
        let first = |list: &[*const c_char]| list.first().copied().unwrap_or(null());
        let mut program = std::ptr::null_mut();
        // SAFETY: all texts end with NUL and live as long as the program; after the source come
        // as many headers as the count says, and as many names.
        let result = unsafe {
            sys::nvrtcCreateProgram(
                &mut program,
                first(&contents),
                first(&names),
                HEADERS.len() as c_int,
                contents.as_ptr().wrapping_add(1),
                names.as_ptr().wrapping_add(1),
            )
        };
        check("nvrtcCreateProgram", result)?;
        Ok(Program { program, _texts: texts })
    }

    /// Whether it compiles.
    fn compile(&self, options: &[String]) -> Result<bool, DeviceError> {
        let options: Vec<CString> =
            options.iter().map(|option| text(option)).collect::<Result<_, _>>()?;
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program is there, and as many options as the count says.
        let result = unsafe {
            sys::nvrtcCompileProgram(self.program, pointers.len() as c_int, pointers.as_ptr())
        };
        if result == sys::nvrtcResult::NVRTC_ERROR_COMPILATION {
            return Ok(false);
        }
        if result.result().is_err() && !self.log().trim().is_empty() {
            return Ok(false);
        }
        check("nvrtcCompileProgram", result).map(|()| true)
    }

    /// The compiler's words; empty where it has none.
    fn log(&self) -> String {
        let mut size = 0;
        // SAFETY: the program and the place are there.
        if unsafe { sys::nvrtcGetProgramLogSize(self.program, &mut size) }.result().is_err() {
            return String::new();
        }
        let mut bytes = vec![0u8; size.max(1)];
        // SAFETY: there is room for as many bytes as NVRTC said.
        let got = unsafe { sys::nvrtcGetProgramLog(self.program, bytes.as_mut_ptr().cast()) };
        let known = got.result().ok().and_then(|()| CStr::from_bytes_until_nul(&bytes).ok());
        known.map(|words| words.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn image(&self, is_ptx: bool) -> Result<Vec<u8>, DeviceError> {
        let mut size = 0;
        // SAFETY: the program and the place are there.
        let result = unsafe {
            match is_ptx {
                true => sys::nvrtcGetPTXSize(self.program, &mut size),
                false => sys::nvrtcGetCUBINSize(self.program, &mut size),
            }
        };
        check("size of a kernel", result)?;
        let mut image = vec![0u8; size];
        // SAFETY: there is room for as many bytes as NVRTC said.
        let result = unsafe {
            match is_ptx {
                true => sys::nvrtcGetPTX(self.program, image.as_mut_ptr().cast()),
                false => sys::nvrtcGetCUBIN(self.program, image.as_mut_ptr().cast()),
            }
        };
        check("code of a kernel", result)?;
        if is_ptx {
            // A text that ends with NUL, which is no part of it.
            image.retain(|byte| *byte != 0);
        }
        Ok(image)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is there, and nobody uses it any more.
        unsafe { sys::nvrtcDestroyProgram(&mut self.program) };
    }
}

//! Products of two activations, and attention.

use crate::reference::{Values, quantize};
use crate::support::{Builder, check_exactly, check_nearly, f32_tensor, u8_tensor};
use zsseg::plan::{MatrixStrides, Operation, Plan, Tensor, TensorIndex};
use zsseg::status::{Place, Status};

/// A product of two slices of the input: per head, queries times keys, or weights times values.
#[derive(Clone, Copy)]
struct Product {
    tokens: u32,
    heads: u32,
    depth: u32,
    by_column: bool,
    factor: f32,
}

impl Product {
    /// Rows and columns of each matrix of the result.
    fn columns(&self) -> u32 {
        if self.by_column { self.tokens } else { 5 }
    }

    fn strides(&self, pixel_stride: u32) -> [MatrixStrides; 3] {
        let columns = self.columns();
        let left = MatrixStrides { batch: self.depth, row: pixel_stride, column: 1 };
        let right = match self.by_column {
            true => MatrixStrides { batch: self.depth, row: 1, column: pixel_stride },
            false => MatrixStrides { batch: columns, row: pixel_stride, column: 1 },
        };
        let output = MatrixStrides { batch: self.tokens * columns, row: columns, column: 1 };
        [left, right, output]
    }

    fn operation(&self, pixel_stride: u32) -> Operation {
        let [left, right, output] = self.strides(pixel_stride);
        Operation::MatrixProduct {
            batch: self.heads,
            rows: self.tokens,
            depth: self.depth,
            columns: self.columns(),
            left,
            right,
            output,
            factor: self.factor,
        }
    }
}

/// A plan with a product of the first channels of the input and the channels behind them.
fn with_product(product: Product, element: Tensor, output: Tensor) -> Builder {
    let right_channels =
        product.heads * if product.by_column { product.depth } else { product.columns() };
    // The right operand has as many rows as the depth, where these are its tokens.
    let tokens = if product.by_column { product.tokens } else { product.tokens.max(product.depth) };
    let left_channels = product.heads * product.depth;
    let channels = left_channels + right_channels;
    let mut builder =
        Builder::new(Tensor { width: tokens, channels, pixel_stride: channels, ..element });
    let left = builder.slice(0, 0, left_channels);
    let right = builder.slice(0, left_channels, right_channels);
    let columns = product.columns();
    let output = builder.tensor(Tensor {
        height: product.heads,
        width: product.tokens,
        channels: columns,
        pixel_stride: columns,
        ..output
    });
    let to = builder.of(output);
    let expected = move |inputs: &[Values]| {
        let real = |value: f64| value - f64::from(element.zero_point);
        let mut values = Values::zeros(&to);
        values.fill(|head, row, column| {
            let mut sum = 0.0;
            for depth in 0..product.depth as usize {
                let first = head * product.depth as usize;
                let a = inputs[0].at(0, row, first + depth);
                let b = match product.by_column {
                    true => inputs[1].at(0, column, first + depth),
                    false => inputs[1].at(0, depth, head * columns as usize + column),
                };
                sum += real(a) * real(b);
            }
            let scale = element.scale * element.scale * product.factor;
            if to.element == zsseg::plan::Element::U8 {
                return quantize(sum as f32 * (scale / to.scale), to.zero_point, 0, 255);
            }
            sum * f64::from(scale)
        });
        values
    };
    builder.step(product.operation(channels), &[left, right], output, &[], Box::new(expected));
    builder.finish(output)
}

const SHAPES: [Product; 4] = [
    Product { tokens: 9, heads: 2, depth: 8, by_column: true, factor: 0.25 },
    Product { tokens: 9, heads: 2, depth: 9, by_column: false, factor: 1.0 },
    Product { tokens: 19, heads: 3, depth: 67, by_column: true, factor: 0.125 },
    Product { tokens: 7, heads: 1, depth: 70, by_column: false, factor: 0.5 },
];

#[test]
fn in_integers() {
    for product in SHAPES {
        let from = u8_tensor([1, 1, 1], 0.02, 117);
        check_exactly(&with_product(product, from, u8_tensor([1, 1, 1], 0.1, 101)));
        check_nearly(&with_product(product, from, f32_tensor([1, 1, 1])));
    }
}

#[test]
fn in_floats() {
    for product in SHAPES {
        check_nearly(&with_product(product, f32_tensor([1, 1, 1]), f32_tensor([1, 1, 1])));
    }
}

#[test]
fn attention() {
    for (tokens, heads, head_channels) in [([1, 11], 3, 8), ([4, 5], 2, 20)] {
        let channels = heads * head_channels;
        let [height, width] = tokens;
        let mut builder = Builder::new(f32_tensor([height, width, 3 * channels]));
        let inputs: Vec<TensorIndex> =
            (0..3).map(|part| builder.slice(0, part * channels, channels)).collect();
        let output = builder.tensor(f32_tensor([height, width, channels]));
        let to = builder.of(output);
        let factor = 3.0;
        let expected = move |inputs: &[Values]| {
            let count = (height * width) as usize;
            let at = |values: &Values, token: usize, c: usize| {
                values.data[token * channels as usize + c]
            };
            let mut values = Values::zeros(&to);
            values.fill(|y, x, c| {
                let token = y * width as usize + x;
                let first = c / head_channels as usize * head_channels as usize;
                let head = first..first + head_channels as usize;
                let score = |key: usize| {
                    let products =
                        head.clone().map(|c| at(&inputs[0], token, c) * at(&inputs[1], key, c));
                    (products.sum::<f64>() * f64::from(factor)).exp()
                };
                let total: f64 = (0..count).map(score).sum();
                (0..count).map(|key| score(key) / total * at(&inputs[2], key, c)).sum()
            });
            values
        };
        let operation = Operation::Attention { heads, head_channels, factor };
        builder.step(operation, &inputs, output, &[], Box::new(expected));
        check_nearly(&builder.finish(output));
    }
}

/// Why a product is refused after `change`.
fn refused(change: impl FnOnce(&mut Fields<'_>)) -> (Status, &'static str) {
    let mut builder = with_product(SHAPES[0], f32_tensor([1, 1, 1]), f32_tensor([1, 1, 1]));
    let Operation::MatrixProduct { batch, rows, depth, left, right, output, .. } =
        &mut builder.steps[0].operation
    else {
        unreachable!()
    };
    change(&mut Fields { batch, rows, depth, left, right, output });
    let error = Plan::new(&builder.encode()).unwrap_err();
    assert_eq!(error.place(), Some(Place::Step(0)));
    (error.status(), error.what())
}

struct Fields<'o> {
    batch: &'o mut u32,
    rows: &'o mut u32,
    depth: &'o mut u32,
    left: &'o mut MatrixStrides,
    right: &'o mut MatrixStrides,
    output: &'o mut MatrixStrides,
}

#[test]
fn products_that_are_refused() {
    let reach = (Status::BundleContent, "a product reaches beyond its tensors");
    let sides = (Status::BundleContent, "sides of a product");
    assert_eq!(refused(|fields| *fields.rows += 1), sides);
    assert_eq!(refused(|fields| *fields.batch = u32::MAX), sides);
    assert_eq!(refused(|fields| *fields.depth += 100), reach);
    assert_eq!(refused(|fields| *fields.depth = 0).1, "side of a product");
    assert_eq!(refused(|fields| fields.left.row = u32::MAX), reach);
    assert_eq!(
        refused(|fields| fields.left.column = 2),
        (Status::Unsupported, "strides of a product")
    );
    assert_eq!(refused(|fields| fields.right.batch = 1_000), reach);
    assert_eq!(refused(|fields| fields.right.row = 0).0, Status::Unsupported);
    assert_eq!(refused(|fields| fields.output.batch += 1), reach);
    let overlap = (Status::BundleContent, "rows of a product overlap");
    assert_eq!(refused(|fields| fields.output.row = 1), overlap);
}
